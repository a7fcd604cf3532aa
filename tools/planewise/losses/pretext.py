"""Losses of the pretexts, Zhang 2024 Eq. (2), (5) and (6).

A prediction is the network's output ``(B, C, H, W)``: the heatmaps come first, and the location channel last. The
targets are a dictionary with ``heatmaps`` ``(B, K, H, W)`` and ``location`` ``(B,)``; NaN marks an unknown target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from planewise.losses.terms import Term, TermLoss, mean_over_known


def predicted_location(prediction: Tensor) -> Tensor:
    """The location, ``(B,)``, from the last channel, which is constant over the image or volume."""
    first = (0,) * (prediction.ndim - 2)
    corner: tuple[slice | int, ...] = (slice(None), -1, *first)
    return prediction[corner]


class RelativeOrientationLoss(TermLoss):
    """Mean squared difference of heatmaps, Zhang 2024 Eq. (2).

    ``L_ori = 1 / (N K |Omega|) sum_i sum_k sum_(x,y) ||G_ik(x, y) - G^_ik(x, y)||^2``, over the heatmaps that are known.
    """

    def terms(self, prediction: Tensor, target: Mapping[str, Tensor]) -> list[Term]:
        heatmaps = target["heatmaps"]
        known = torch.isfinite(heatmaps[:, :, :1, :1])
        difference = torch.where(known, prediction[:, : heatmaps.shape[1]] - heatmaps, 0.0)
        squared = difference.square().mean(dim=(2, 3))
        return [Term(*mean_over_known(squared.sum(), known))]


class RelativeLocationLoss(TermLoss):
    """Mean squared difference of locations, Zhang 2024 Eq. (5).

    ``L_loc = 1 / N sum_i ||l_i - l^_i||^2``, over the slices whose location is known.
    """

    def terms(self, prediction: Tensor, target: Mapping[str, Tensor]) -> list[Term]:
        location = target["location"]
        known = torch.isfinite(location)
        difference = torch.where(known, predicted_location(prediction) - location, 0.0)
        return [Term(*mean_over_known(difference.square().sum(), known))]


class MultitaskLoss(TermLoss):
    """``L_MTL = L_ori + L_loc``, Zhang 2024 Eq. (6), with a weight for each term.

    Args:
        orientation_weight, location_weight: weights of the two terms; both are one in the paper. The terms are called
            ``orientation`` and ``location`` in the log.
    """

    def __init__(self, orientation_weight: float = 1.0, location_weight: float = 1.0) -> None:
        super().__init__()
        self.orientation, self.location = RelativeOrientationLoss(), RelativeLocationLoss()
        self.weights = {"orientation": float(orientation_weight), "location": float(location_weight)}

    def terms(self, prediction: Tensor, target: Mapping[str, Tensor]) -> list[Term]:
        losses: dict[str, TermLoss] = {"orientation": self.orientation, "location": self.location}
        return [
            replace(term, name=name, weight=self.weights[name] * term.weight)
            for name, loss in losses.items()
            for term in loss.terms(prediction, target)
        ]
