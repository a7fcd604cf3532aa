"""Compute the errors of predicted lines as an Ignite metric, for validation during training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from planewise.geometry import fit_lines, line_errors
from planewise.metrics.epoch_metrics import KeptMetric, pred_and_label


class LineErrors(KeptMetric):
    """Mean angle (degrees) and distance (mm) between the predicted lines and the true lines of each view.

    Updates take ``(prediction, target)``: the network's output ``(B, C, i, j)``, and a dictionary with ``lines``
    ``(B, views, 3)`` and ``affine`` ``(B, 4, 4)``. The result is ``{"<view>_angle": ..., "<view>_distance": ...}``; Ignite
    lists each value under its own name. A line that was not found counts as an angle of 90 degrees, and is left out of
    the distance. With several processes, each gets the means over the lines of all processes.

    Args:
        views: names of the heatmap channels.
        output_transform: extracts (prediction, target) from the engine's output.
    """

    def __init__(self, views: Sequence[str], output_transform: Callable[[Any], Any] = pred_and_label) -> None:
        self.views = tuple(views)
        super().__init__(output_transform)

    def kept(self, prediction: Tensor, target: dict[str, Tensor]) -> tuple[Tensor, ...]:
        heatmaps = prediction[:, : len(self.views)]
        shape = (heatmaps.shape[-2], heatmaps.shape[-1])
        lines = fit_lines(heatmaps).lines
        angle, distance = line_errors(lines, target["lines"], target["affine"][:, None], shape)
        known = torch.isfinite(target["lines"]).all(dim=-1)
        return torch.where(known & ~torch.isfinite(angle), math.pi / 2, angle), distance

    def scores(self, angles: Tensor, distances: Tensor) -> dict[str, float]:
        scores = {}
        for channel, view in enumerate(self.views):
            scores[f"{view}_angle"] = math.degrees(float(angles[:, channel].nanmean()))
            scores[f"{view}_distance"] = float(distances[:, channel].nanmean())
        return scores
