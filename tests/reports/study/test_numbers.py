"""Test the summary of several runs as one number against values worked out by hand."""

from __future__ import annotations

import numpy as np
from planewise.workshop.study.numbers import over_draws, paired_differences


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
