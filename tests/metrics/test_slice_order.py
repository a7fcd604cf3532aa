"""Test scores of slice ordering against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planewise.metrics.pretexts import mirrored, places_by_votes


def perfect(places) -> np.ndarray:
    """Logits of a network that is always correct."""
    places = np.asarray(places, dtype=float)
    return places[None, :] - places[:, None]


@given(st.permutations(list(range(7))))
def test_right_votes_give_the_order(places):
    assert np.allclose(places_by_votes(perfect(places)), np.array(places) / 6)


def test_votes_are_of_both_orders_of_a_pair_and_the_sum_decides_a_tie():
    # 0 beats 1 by 5 - 1, 1 beats 2 by 2, 2 beats 0 by 1: a circle, in which the net votes are 3 for 0, -2 for 1 and -1 for 2
    logits = np.array([[0, 5, -1], [1, 0, 1], [0, -1, 0]])
    assert places_by_votes(logits).tolist() == [0, 1, 0.5]
    # a constant added to every pair's score does not count
    assert places_by_votes(logits + 100).tolist() == [0, 1, 0.5]
    assert places_by_votes(np.zeros((1, 1))).tolist() == [0]


@pytest.mark.parametrize(
    ("first", "second", "is_mirrored"),
    [
        (0.2, 0.8, True),
        (0.2, 0.9, True),
        (0.2, 0.91, False),
        (0.9, 0.2, True),
        (0.2, 0.3, False),
        (0.7, 0.8, False),
        # no mirror images: both are on one side, or in the middle
        (0.46, 0.49, False),
        (0.5, 0.5, False),
    ],
)
def test_pairs_that_mirror_each_other(first, second, is_mirrored):
    assert mirrored(np.array([first]), np.array([second])).tolist() == [is_mirrored]
