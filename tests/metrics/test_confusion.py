from __future__ import annotations

import math

import numpy as np
import pytest
from planewise.metrics.classification import choice_scores, jigsaw_scores, tiles_in_place


def test_scores_of_a_choice_by_hand():
    found = choice_scores(np.array([0, 1, 1, 2, 2]), np.array([0, 1, 2, 2, 2]), 4, "rotation", "images")
    assert list(found) == ["accuracy", "chance", "images", "rotations", "accuracy_by_rotation", "confusion"]
    assert found["accuracy"] == pytest.approx(4 / 5) and found["chance"] == 0.25
    assert (found["images"], found["rotations"]) == (5, 4)
    assert found["accuracy_by_rotation"][:3] == pytest.approx([1, 1, 2 / 3]) and math.isnan(
        found["accuracy_by_rotation"][3]
    )
    assert found["confusion"] == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 2, 0], [0, 0, 0, 0]]


SET = np.array([[0, 1, 2, 3], [1, 0, 3, 2], [0, 1, 3, 2]])


def test_tiles_in_place():
    assert tiles_in_place(SET[[0, 0, 1]], SET[[0, 1, 2]]).tolist() == [1, 0, 0.5]


def test_scores_of_puzzles():
    scores = jigsaw_scores(np.array([0, 2, 1, 1]), np.array([0, 0, 1, 2]), SET)
    assert scores == {
        "accuracy": 0.5, "chance": pytest.approx(1 / 3),
        "tiles_in_place": (1 + 0.5 + 1 + 0.5) / 4,
        # of the nine pairs of permutations, three agree fully; 0-2 and 1-2 agree in half, each counted twice; and 0-1 not at
        # all
        "tiles_in_place_chance": pytest.approx((3 * 1 + 4 * 0.5) / 9), "puzzles": 4, "permutations": 3,
    }  # fmt: skip
