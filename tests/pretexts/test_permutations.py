from __future__ import annotations

from itertools import permutations

import pytest
from planewise.pretexts import choose_permutations


def total_distance(one, others) -> int:
    """The sum of the Hamming distances to all others, written out."""
    return sum(sum(a != b for a, b in zip(one, other, strict=True)) for other in others)


@pytest.mark.parametrize(("pieces", "count"), [(3, 6), (4, 24), (5, 60)])
@pytest.mark.parametrize("seed", [0, 1])
def test_each_is_as_far_from_those_before_as_any_that_is_left(pieces, count, seed):
    """Algorithm 1 of the paper, over the list of all permutations."""
    chosen = [tuple(row) for row in choose_permutations(pieces, count, seed).tolist()]
    for number in range(1, count):
        before = chosen[:number]
        left = [one for one in permutations(range(pieces)) if one not in before]
        assert chosen[number] in left
        assert total_distance(chosen[number], before) == max(total_distance(one, before) for one in left)


def test_fewer_are_the_first_of_more():
    assert (choose_permutations(9, 10) == choose_permutations(9, 40)[:10]).all()
