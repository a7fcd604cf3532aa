"""Mean area under the ROC curves of a classification as an Ignite metric, for validation during training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from ignite.metrics import EpochMetric
from monai.utils import evenly_divisible_all_gather
from torch import Tensor

from planewise.metrics.classification import classification_scores


class ClassesAuc(EpochMetric):
    """Macro AUC (`classification_scores`) over all exams of an epoch. With several processes, each gets the score over
    all.

    Updates take logits ``(B, classes)`` and labels ``(B,)``, negative where unknown. (Ignite's own way of collecting
    requires the same number of exams in every process.)

    Args:
        output_transform: gives (prediction, target) from the engine's output.
    """

    def __init__(self, output_transform: Callable[[Any], Any] = lambda output: output) -> None:
        super().__init__(_macro_auc, output_transform=output_transform, check_compute_fn=False)

    def compute(self) -> float:
        return _macro_auc(
            *(evenly_divisible_all_gather(torch.cat(kept), concat=True) for kept in (self._predictions, self._targets))
        )


def _macro_auc(logits: Tensor, labels: Tensor) -> float:
    """NaN if a class has no exams, or if it has all of them."""
    labels = labels.reshape(len(logits)).long().cpu()
    known = labels >= 0
    if not bool(known.any()):
        return math.nan
    probabilities = torch.softmax(logits.float(), dim=1).cpu()[known].numpy()
    names = [str(index) for index in range(probabilities.shape[1])]
    found = classification_scores(probabilities, labels[known].numpy(), names)["macro_auc"]
    return math.nan if found is None else found
