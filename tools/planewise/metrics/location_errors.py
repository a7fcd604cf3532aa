"""Compute the scores of relative location as an Ignite metric, for validation during training."""

from __future__ import annotations

from torch import Tensor

from planewise.losses import predicted_location
from planewise.metrics.kept_metric import KeptMetric
from planewise.metrics.location import location_scores


class LocationErrors(KeptMetric):
    """Mean absolute error, Pearson r and R^2 of the predicted locations.

    Updates take ``(prediction, target)``: the network's output, whose last channel is the location, and a dictionary with
    ``location`` ``(B,)``. The result is ``{"location_mae": ..., "location_r": ..., "location_r2": ...}``; Ignite lists
    each value under its own name. With several processes, each gets the scores over the slices of all processes.

    Args:
        output_transform: extracts (prediction, target) from the engine's output.
    """

    def kept(self, prediction: Tensor, target: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return predicted_location(prediction), target["location"]

    def scores(self, predicted: Tensor, reference: Tensor) -> dict[str, float]:
        scores = location_scores(predicted.tolist(), reference.tolist())
        return {"location_mae": scores["mae"], "location_r": scores["pearson_r"], "location_r2": scores["r2"]}
