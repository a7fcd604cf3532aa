"""Test the summary of several runs as one number against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from planewise.workshop.study.numbers import over_draws, paired_cases, paired_differences, pooled, spread


def test_pooled_spread_is_that_of_all_values():
    groups = np.random.default_rng(0).normal(size=(3, 40)) + np.array([[0.0], [1.0], [5.0]])
    unequal = [groups[0], groups[1, :7], groups[2, :21]]
    found = pooled([{"mean": float(group.mean()), "sd": float(group.std())} for group in unequal], [40, 7, 21])
    together = np.concatenate(unequal)
    assert found["mean"] == pytest.approx(together.mean()) and found["sd"] == pytest.approx(together.std())
    # 40 volumes at 1 mm and 4 at 20 mm: 120 mm of 44
    assert pooled([{"mean": 1.0, "sd": 0.0}, {"mean": 20.0, "sd": 0.0}], [40, 4])["mean"] == pytest.approx(120 / 44)
    # a group without a mean is left out: 1 and 3 with no deviation have the mean 2 and the deviation 1
    single = {"mean": 1.0, "sd": None}
    assert pooled([single], [1]) == single and pooled([single, {"mean": 3.0, "sd": None}], [1, 1]) == {
        "mean": 2.0,
        "sd": 1.0,
    }
    unknown = {"mean": None, "sd": None}
    assert pooled([{"mean": 1.0, "sd": 0.0}, unknown, {"mean": 3.0, "sd": 0.0}], [5, 9, 5]) == {"mean": 2.0, "sd": 1.0}
    assert pooled([unknown], [0]) == unknown


def test_a_spread_has_three_digits_below_one_and_two_above():
    assert spread({"mean": 0.99940, "sd": 0.1234}) == "0.999 (0.123)"
    assert spread({"mean": 1.0, "sd": 0.1254}) == "1.00 (0.13)"
    assert spread({"mean": 0.5, "sd": None}) == "0.500"
    assert spread({"mean": None, "sd": None}) == spread({"mean": math.nan, "sd": 0.0}) == "-"


def test_the_deviation_of_draws_is_that_of_their_population():
    # 1, 2, 6: mean 3, squares 4 + 1 + 9 = 14, over 2
    assert over_draws([1.0, None, 2.0, 6.0]) == "3.000 (2.646)"
    assert over_draws([0.5]) == "0.500"
    assert over_draws([None]) == over_draws([]) == "-"


def test_differences_are_of_the_same_draw():
    # draw 1 is missing on one side and draw 3 on the other; the order of the draws does not matter
    found = paired_differences({2: 0.7, 0: 0.5, 3: 9.0}, {0: 0.4, 1: 9.0, 2: 0.9})
    np.testing.assert_allclose(found, [0.1, -0.2])
    assert len(paired_differences({0: 0.5}, {})) == 0


def test_cases_without_both_scores_are_left_out():
    nan = math.nan
    one = {0: np.array([[1.0, nan], [3.0, 4.0]]), 1: np.array([[nan, 2.0], [nan, nan]]), 2: np.zeros((2, 2))}
    other = {0: np.array([[0.5, 9.0], [1.5, nan]]), 1: np.array([[1.0, nan], [nan, 2.0]]), 3: np.zeros((2, 2))}
    differences, pairs, left_out = paired_cases(one, other)
    # draw 0: 0.5 and 1.5; draw 1 has no pair; draws 2 and 3 are of one method only
    assert differences.tolist() == [1.0] and (pairs, left_out) == (8, 6)
    assert paired_cases({}, other)[1:] == (0, 0)
