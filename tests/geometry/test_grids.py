"""Test exact rotations, and the patches that predict others."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from planewise.geometry import (
    PLANE_ROTATIONS,
    VOLUME_ROTATIONS,
    inverted_pyramids,
    predicted_patches,
    rotate90,
    rotate90_matrix,
    rotation_of_class,
)


@pytest.mark.parametrize("turn", range(VOLUME_ROTATIONS))
def test_volumes_turn_as_numpy_does(turn):
    volumes = torch.rand(2, 3, 4, 5, 6)
    plane, quarters = rotation_of_class(turn, 3)
    expected = np.rot90(volumes.numpy(), quarters, [axis + 2 for axis in plane])
    assert np.array_equal(rotate90(volumes, turn).numpy(), expected)


def test_classes_are_the_identity_and_three_turns_about_each_axis():
    volume = torch.arange(27.0).reshape(1, 1, 3, 3, 3)
    turned = [rotate90(volume, turn) for turn in range(VOLUME_ROTATIONS)]
    assert torch.equal(turned[0], volume)
    assert len({tuple(each.flatten().tolist()) for each in turned}) == 10
    for axis in range(3):
        # a rotation about an axis does not move the line through the middle along that axis
        line = [1, 1, 1]
        line[axis] = slice(None)
        for turn in range(1 + 3 * axis, 4 + 3 * axis):
            assert torch.equal(turned[turn][0, 0][tuple(line)], volume[0, 0][tuple(line)])
        assert torch.equal(rotate90(turned[1 + 3 * axis], 3 + 3 * axis), volume), "90 and 270 degrees undo each other"


@pytest.mark.parametrize(("shape", "turns"), [((4, 5), PLANE_ROTATIONS), ((4, 5, 6), VOLUME_ROTATIONS)])
def test_the_matrix_leads_from_each_voxel_to_where_it_was(shape, turns):
    images = torch.rand(1, 1, *shape)
    for turn in range(turns):
        turned, matrix = rotate90(images, turn)[0, 0], rotate90_matrix(turn, shape)
        for place in np.ndindex(*turned.shape):
            index = torch.tensor([*place, *[0] * (3 - len(place)), 1], dtype=torch.float64)
            source = (matrix @ index)[: len(shape)].long().tolist()
            assert turned[place] == images[0, 0][tuple(source)]


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
