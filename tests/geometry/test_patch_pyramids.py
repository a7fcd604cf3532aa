from __future__ import annotations

from itertools import product

import pytest
from planewise.geometry import inverted_pyramids, predicted_patches


@pytest.mark.parametrize(("side", "axes"), [(4, 3), (3, 3), (2, 3), (5, 2)])
def test_contexts_are_the_inverted_pyramids_of_the_paper(side, axes):
    places = list(product(range(side), repeat=axes))
    known, length = inverted_pyramids(side, axes)
    own = [place for place in places if place[0] < side - 1]
    assert len(known) == len(own) == (side - 1) * side ** (axes - 1)
    for number, (row, *rest) in enumerate(own):
        expected = [
            places.index((above, *others))
            for above in range(row + 1)
            for others in product(range(side), repeat=axes - 1)
            if all(abs(one - other) <= row - above for one, other in zip(others, rest, strict=True))
        ]
        assert known[number, : length[number]].tolist() == expected
        assert expected[-1] == number, "its own patch comes last"
        assert set(known[number, length[number] :].tolist()) <= {number}, "the padding repeats the patch itself"
        assert all(places[patch][0] <= row for patch in known[number].tolist()), "no row after its own"


@pytest.mark.parametrize(("side", "axes", "rows"), [(4, 3, 2), (4, 3, 3), (5, 2, 1), (3, 2, 2)])
def test_predictions_are_straight_ahead_and_within_the_grid(side, axes, rows):
    places = list(product(range(side), repeat=axes))
    predicted = predicted_patches(side, axes, rows)
    found = list(zip(*(values.tolist() for values in predicted), strict=True))
    assert found == [
        (number, ahead, places.index((row + ahead, *rest)))
        for number, (row, *rest) in enumerate(places)
        for ahead in range(1, rows + 1)
        if row + ahead < side
    ]
