"""Compute a score over a whole epoch as an Ignite metric, for validation during training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from ignite.metrics import EpochMetric
from monai.utils import evenly_divisible_all_gather
from torch import Tensor

from planewise.metrics.pred_and_label import pred_and_label


class EpochScore(EpochMetric):
    """A score over all items of an epoch. With several processes, each gets the score over the items of all processes.

    Updates take predictions and targets, ``(B, ...)`` each. (Ignite's `EpochMetric` requires the same number of items in
    every process.)

    Args:
        score: function that computes the score from all predictions and targets, such as `planewise.metrics.mean_auc`,
            `macro_auc` or `grade_kappa`.
        output_transform: extracts (prediction, target) from the engine's output.
    """

    def __init__(
        self, score: Callable[[Tensor, Tensor], float], output_transform: Callable[[Any], Any] = pred_and_label
    ) -> None:
        super().__init__(score, output_transform=output_transform, check_compute_fn=False)

    def compute(self) -> float:
        return self.compute_fn(
            *(evenly_divisible_all_gather(torch.cat(kept), concat=True) for kept in (self._predictions, self._targets))
        )
