from __future__ import annotations

import pytest
import torch
from planewise.metrics import LocationErrors


def test_scores_by_hand_over_all_batches():
    metric = LocationErrors()
    for predicted, reference in (([0.5, 0.5], [0.0, 0.5]), ([1.0, 0.7], [1.0, torch.nan])):
        prediction = torch.zeros(2, 3, 2, 2)
        prediction[:, 2] = torch.tensor(predicted)[:, None, None]
        metric.update((prediction, {"location": torch.tensor(reference)}))
    # errors of 0.5, 0 and 0; the squared deviations of 0, 0.5 and 1 from their mean add up to 0.5
    assert metric.compute() == pytest.approx({"location_mae": 1 / 6, "location_r": 0.75**0.5, "location_r2": 0.5})
    metric.reset()
    assert metric.compute() == {}
