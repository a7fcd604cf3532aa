"""Compute the errors of predicted lines as an Ignite metric, for validation during training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from ignite.metrics import Metric
from ignite.metrics.metric import reinit__is_reduced
from monai.utils import evenly_divisible_all_gather

from planewise.geometry import fit_lines, line_errors
from planewise.metrics.pred_and_label import pred_and_label


class LineErrors(Metric):
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
        super().__init__(output_transform=output_transform)

    @reinit__is_reduced
    def reset(self) -> None:
        self._angles: list[torch.Tensor] = []
        self._distances: list[torch.Tensor] = []

    @reinit__is_reduced
    def update(self, output: tuple[torch.Tensor, dict[str, torch.Tensor]]) -> None:
        prediction, target = output
        heatmaps = prediction[:, : len(self.views)].detach()
        shape = (heatmaps.shape[-2], heatmaps.shape[-1])
        lines = fit_lines(heatmaps).lines
        angle, distance = line_errors(lines, target["lines"], target["affine"][:, None], shape)
        known = torch.isfinite(target["lines"]).all(dim=-1)
        angle = torch.where(known & ~torch.isfinite(angle), math.pi / 2, angle)
        self._angles.append(angle.cpu())
        self._distances.append(distance.cpu())

    def compute(self) -> dict[str, float]:
        if not self._angles:
            return {}
        angles, distances = (
            evenly_divisible_all_gather(torch.cat(kept), concat=True) for kept in (self._angles, self._distances)
        )
        scores = {}
        for channel, view in enumerate(self.views):
            scores[f"{view}_angle"] = math.degrees(float(angles[:, channel].nanmean()))
            scores[f"{view}_distance"] = float(distances[:, channel].nanmean())
        return scores
