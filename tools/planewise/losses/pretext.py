"""Losses of the pretexts, Zhang 2024 Eq. (2), (5) and (6).

A prediction is the network's one tensor ``(B, C, H, W)``: heatmaps first, the location channel last. Targets are a
dictionary with ``heatmaps`` ``(B, K, H, W)`` and ``location`` ``(B,)``; NaN marks a target that is not known.

After a call `terms` holds weight, mean and number of known targets of each term, for means over batches that several
processes hold together (`planewise.metrics.MaskedLoss`).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from planewise.losses.mean_over_known import mean_over_known


def predicted_location(prediction: Tensor) -> Tensor:
    """The location that the last channel carries, ``(B,)``; the channel is constant over the image."""
    return prediction[:, -1, 0, 0]


class RelativeOrientationLoss(nn.Module):
    """Mean squared difference of heatmaps, Zhang 2024 Eq. (2).

    ``L_ori = 1 / (N K |Omega|) sum_i sum_k sum_(x,y) ||G_ik(x, y) - G^_ik(x, y)||^2``, over the heatmaps that are known.
    """

    def forward(self, prediction: Tensor, target: Mapping[str, Tensor]) -> Tensor:
        heatmaps = target["heatmaps"]
        known = torch.isfinite(heatmaps[:, :, :1, :1])
        difference = torch.where(known, prediction[:, : heatmaps.shape[1]] - heatmaps, 0.0)
        squared = difference.square().mean(dim=(2, 3))
        loss, count = mean_over_known(squared.sum(), known)
        self.terms = [(1.0, loss.detach(), count)]
        return loss


class RelativeLocationLoss(nn.Module):
    """Mean squared difference of locations, Zhang 2024 Eq. (5).

    ``L_loc = 1 / N sum_i ||l_i - l^_i||^2``, over the slices whose location is known.
    """

    def forward(self, prediction: Tensor, target: Mapping[str, Tensor]) -> Tensor:
        location = target["location"]
        known = torch.isfinite(location)
        difference = torch.where(known, predicted_location(prediction) - location, 0.0)
        loss, count = mean_over_known(difference.square().sum(), known)
        self.terms = [(1.0, loss.detach(), count)]
        return loss


class MultitaskLoss(nn.Module):
    """``L_MTL = L_ori + L_loc``, Zhang 2024 Eq. (6); the paper weighs both by one.

    Args:
        orientation_weight, location_weight: of the two terms.

    After a call, `parts` holds both terms, detached, for the log.
    """

    def __init__(self, orientation_weight: float = 1.0, location_weight: float = 1.0) -> None:
        super().__init__()
        self.orientation, self.location = RelativeOrientationLoss(), RelativeLocationLoss()
        self.weights = (float(orientation_weight), float(location_weight))
        self.parts: dict[str, Tensor] = {}

    def forward(self, prediction: Tensor, target: Mapping[str, Tensor]) -> Tensor:
        orientation = self.orientation(prediction, target)
        location = self.location(prediction, target)
        self.parts = {"orientation": orientation.detach(), "location": location.detach()}
        parts = zip(self.weights, (self.orientation, self.location), strict=True)
        self.terms = [(weight * factor, mean, known) for weight, part in parts for factor, mean, known in part.terms]
        return self.weights[0] * orientation + self.weights[1] * location
