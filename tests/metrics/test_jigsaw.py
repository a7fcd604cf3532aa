"""Test scores of puzzles against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from planewise.metrics.jigsaw import jigsaw_scores, tiles_in_place

SET = np.array([[0, 1, 2, 3], [1, 0, 3, 2], [0, 1, 3, 2]])


def test_tiles_in_place():
    assert tiles_in_place(SET[[0, 0, 1]], SET[[0, 1, 2]]).tolist() == [1, 0, 0.5]


def test_scores():
    scores = jigsaw_scores(np.array([0, 2, 1, 1]), np.array([0, 0, 1, 2]), SET)
    assert scores == {
        "accuracy": 0.5, "chance": pytest.approx(1 / 3),
        "tiles_in_place": (1 + 0.5 + 1 + 0.5) / 4,
        # of the nine pairs of permutations, three agree fully; 0-2 and 1-2 agree in half, each counted twice; and 0-1 not at
        # all
        "tiles_in_place_chance": pytest.approx((3 * 1 + 4 * 0.5) / 9), "puzzles": 4, "permutations": 3,
    }  # fmt: skip
