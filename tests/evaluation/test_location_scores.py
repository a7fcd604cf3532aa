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


def test_the_regression_is_drawn_from_the_same_numbers():
    rows = taken([0.5, 0.5, 1.0, 0.7], [0.0, 0.5, 1.0, torch.nan])
    figure = LocationScores().results(rows, ITEMS, "a phantom").figures["regression.png"]()
    (axes,) = figure.axes
    points, _, line = axes.get_lines()
    assert points.get_xdata()[:3].tolist() == [0, 0.5, 1] and points.get_ydata()[:3].tolist() == [0.5, 0.5, 1]
    assert line.get_ydata().tolist() == pytest.approx([5 / 12, 11 / 12]) and line.get_label() == "y = 0.500 x + 0.417"
    assert axes.get_title() == "a phantom  r = 0.866, $R^2$ = 0.500"
