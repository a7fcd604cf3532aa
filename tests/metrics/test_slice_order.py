"""Test scores of slice ordering against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planewise.metrics.pretexts import (
    mirrored,
    order_scores,
    pairs_of_stack,
    places_by_votes,
    stack_scores,
)


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


def test_pairs_of_three_slices():
    logits = np.array([[0, 1, -2], [3, 0, 4], [5, -6, 0]])
    pairs = pairs_of_stack(logits, np.array([0, 0.25, 1]))
    assert pairs["first"].tolist() == [0, 0, 0.25, 0.25, 1, 1]
    assert pairs["second"].tolist() == [0.25, 1, 0, 1, 0, 0.25]
    # the answers: 0 < 1 yes, 0 < 2 no, 1 < 0 yes, 1 < 2 yes, 2 < 0 yes, 2 < 1 no
    assert pairs["correct"].tolist() == [True, False, False, True, False, True]
    assert order_scores(pairs) == {
        "accuracy": 0.5, "chance": 0.5, "pairs": 6,
        "mirrored_accuracy": 0.0, "mirrored_pairs": 2, "other_accuracy": 0.75,
    }  # fmt: skip


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


def test_orders_of_stacks():
    right, reversed_, short = np.array([0, 0.5, 1]), np.array([1, 0.5, 0]), np.array([0, 1])
    scores = stack_scores([right, reversed_, right, short], [right, right, right, short])
    assert scores == {"stacks": 3, "rank_correlation": pytest.approx(1 / 3), "direction": pytest.approx(2 / 3)}
    assert math.isnan(stack_scores([short], [short])["direction"])
