from __future__ import annotations

import math

import numpy as np
import pytest
from planewise.metrics.confusion import choice_scores, confusion_matrix


def test_counts_by_hand():
    confusion, shares = confusion_matrix(np.array([0, 1, 1, 2, 2]), np.array([0, 1, 2, 2, 2]), 4)
    assert confusion.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 2, 0], [0, 0, 0, 0]]
    assert shares[:3] == pytest.approx([1, 1, 2 / 3]) and math.isnan(shares[3])


def test_scores_of_a_choice_by_hand():
    found = choice_scores(np.array([0, 1, 1, 2, 2]), np.array([0, 1, 2, 2, 2]), 4, "rotation", "images")
    assert list(found) == ["accuracy", "chance", "images", "rotations", "accuracy_by_rotation", "confusion"]
    assert found["accuracy"] == pytest.approx(4 / 5) and found["chance"] == 0.25
    assert (found["images"], found["rotations"]) == (5, 4)
    assert found["accuracy_by_rotation"][:3] == pytest.approx([1, 1, 2 / 3]) and math.isnan(
        found["accuracy_by_rotation"][3]
    )
    assert found["confusion"] == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 2, 0], [0, 0, 0, 0]]
