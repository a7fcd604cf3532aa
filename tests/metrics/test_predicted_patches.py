from __future__ import annotations

import pytest
import torch
from planewise.metrics import found_first, patch_scores


def test_the_highest_score_is_found_and_equals_share():
    scores = torch.tensor([[3.0, 1, 2], [1, 3, 2], [2, 2, 1], [1, 1, 1]])
    assert found_first(scores, torch.zeros(4, dtype=torch.long)).tolist() == pytest.approx([1, 0, 0.5, 1 / 3])
    assert found_first(scores, torch.tensor([1, 1, 2, 2])).tolist() == pytest.approx([0, 1, 0, 1 / 3])


def test_scores_in_all_and_by_rows():
    found = torch.tensor([[1.0, 0, 1], [1, 1, 0]], dtype=torch.float64)
    of_all = torch.tensor([[1.0, 0, 0], [0, 0.5, 0]], dtype=torch.float64)
    scores = patch_scores(found, of_all, torch.tensor([[1, 1, 2], [1, 1, 2]]), 17, 64)
    assert scores["accuracy"] == pytest.approx(4 / 6) and scores["chance"] == 1 / 17
    assert scores["accuracy_of_all"] == pytest.approx(1.5 / 6) and scores["chance_of_all"] == 1 / 64
    assert scores["predictions"] == 6
    assert scores["by_rows_ahead"] == [
        {"rows_ahead": 1, "accuracy": 0.75, "accuracy_of_all": 0.375, "predictions": 4},
        {"rows_ahead": 2, "accuracy": 0.5, "accuracy_of_all": 0.0, "predictions": 2},
    ]
