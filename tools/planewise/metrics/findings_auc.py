"""Mean area under the ROC curves of the findings as an Ignite metric, for validation during training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from ignite.metrics import EpochMetric
from monai.utils import evenly_divisible_all_gather

from planewise.metrics.findings import mean_auc


class FindingsAuc(EpochMetric):
    """`mean_auc` over all exams of an epoch. With several processes, each gets the score over all.

    Updates take ``(logits, labels)``, both ``(B, tasks)``, a label NaN where unknown. (Ignite's own way of collecting
    requires the same number of exams in every process.)

    Args:
        output_transform: gives (prediction, target) from the engine's output.
    """

    def __init__(self, output_transform: Callable[[Any], Any] = lambda output: output) -> None:
        super().__init__(mean_auc, output_transform=output_transform, check_compute_fn=False)

    def compute(self) -> float:
        return mean_auc(
            *(evenly_divisible_all_gather(torch.cat(kept), concat=True) for kept in (self._predictions, self._targets))
        )
