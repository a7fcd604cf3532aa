from __future__ import annotations

import pytest
import torch
from planewise.evaluation import LocationScores, ScoredBatch

ITEMS = [{"exam": "aa"}] * 4


def taken(predicted, reference):
    prediction = torch.zeros(len(predicted), 3, 2, 2)
    prediction[:, 2] = torch.tensor(predicted)[:, None, None]
    batch = ScoredBatch(torch.zeros(4, 1, 2, 2), {"location": torch.tensor(reference)}, prediction, torch.zeros(4) > 0)
    return LocationScores().take(batch)


def test_scores_of_table_2_by_hand():
    rows = taken([0.5, 0.5, 1.0, 0.7], [0.0, 0.5, 1.0, torch.nan])
    results = LocationScores().results(rows, ITEMS, "a phantom")
    scores = results.metrics["location"]
    assert scores["slices"] == 3
    # errors of 0.5, 0 and 0; the references' variance is 1/6 and the errors' variance is 1/18
    assert scores["mae"] == pytest.approx(1 / 6) and scores["mse"] == pytest.approx(1 / 12)
    assert scores["r2"] == pytest.approx(1 - (1 / 4) / (1 / 2))
    assert scores["explained_variance"] == pytest.approx(1 - (1 / 18) / (1 / 6))
    assert scores["pearson_r"] == pytest.approx(0.75**0.5)
    assert (scores["slope"], scores["intercept"]) == pytest.approx((0.5, 5 / 12))
    assert results.columns["predicted_location"] == pytest.approx([0.5, 0.5, 1.0, 0.7])
    assert results.columns["location"][:3] == [0, 0.5, 1]
