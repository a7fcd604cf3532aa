"""Compute the scores of relative location as an Ignite metric, for validation during training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from ignite.metrics import Metric
from ignite.metrics.metric import reinit__is_reduced
from monai.utils import evenly_divisible_all_gather

from planewise.losses import predicted_location
from planewise.metrics.location import location_scores
from planewise.metrics.pred_and_label import pred_and_label


class LocationErrors(Metric):
    """Mean absolute error, Pearson r and R^2 of the predicted locations.

    Updates take ``(prediction, target)``: the network's output, whose last channel is the location, and a dictionary with
    ``location`` ``(B,)``. The result is ``{"location_mae": ..., "location_r": ..., "location_r2": ...}``; Ignite lists
    each value under its own name. With several processes, each gets the scores over the slices of all processes.

    Args:
        output_transform: extracts (prediction, target) from the engine's output.
    """

    def __init__(self, output_transform: Callable[[Any], Any] = pred_and_label) -> None:
        super().__init__(output_transform=output_transform)

    @reinit__is_reduced
    def reset(self) -> None:
        self._pairs: list[torch.Tensor] = []

    @reinit__is_reduced
    def update(self, output: tuple[torch.Tensor, dict[str, torch.Tensor]]) -> None:
        prediction, target = output
        self._pairs.append(torch.stack([predicted_location(prediction.detach()), target["location"]], dim=1).cpu())

    def compute(self) -> dict[str, float]:
        if not self._pairs:
            return {}
        predicted, reference = evenly_divisible_all_gather(torch.cat(self._pairs), concat=True).T.tolist()
        scores = location_scores(predicted, reference)
        return {"location_mae": scores["mae"], "location_r": scores["pearson_r"], "location_r2": scores["r2"]}
