"""Quadratic weighted kappa as an Ignite metric, for validation during training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from ignite.metrics import EpochMetric
from monai.utils import evenly_divisible_all_gather
from torch import Tensor

from planewise.metrics.grades import predicted_grades, quadratic_kappa


class GradeKappa(EpochMetric):
    """`quadratic_kappa` over all photographs of an epoch. With several processes, each gets the score over all.

    Updates take logits ``(B, thresholds)`` and grades ``(B,)``. (Ignite's own `CohenKappa` requires the same number in
    every process.)

    Args:
        output_transform: gives (prediction, target) from the engine's output.
    """

    def __init__(self, output_transform: Callable[[Any], Any] = lambda output: output) -> None:
        super().__init__(_kappa, output_transform=output_transform, check_compute_fn=False)

    def compute(self) -> float:
        return _kappa(
            *(evenly_divisible_all_gather(torch.cat(kept), concat=True) for kept in (self._predictions, self._targets))
        )


def _kappa(logits: Tensor, grades: Tensor) -> float:
    """NaN if it is not defined."""
    predicted = predicted_grades(torch.sigmoid(logits.float()).cpu().numpy())
    found = quadratic_kappa(grades.reshape(len(logits)).cpu().numpy(), predicted, logits.shape[1] + 1)
    return math.nan if found is None else found
