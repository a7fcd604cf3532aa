"""Loss of a classification into findings, each of which may be present or not (Zhang 2024, section 5.3)."""

from __future__ import annotations

import logging

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from planewise.losses.terms import Term, TermLoss, mean_over_known

logger = logging.getLogger(__name__)


class MultiLabelBCELoss(TermLoss):
    """Binary cross-entropy of each finding, weighted inversely to the label's prevalence (Bien 2018).

    With these weights, positives and negatives count equally: ``L = -1 / |K| sum_(i,t in K) [w+_t y log p + w-_t (1 - y)
    log(1 - p)]`` over the known labels K, where ``w+_t = 1 / (2 pi_t)`` and ``w-_t = 1 / (2 (1 - pi_t))`` for prevalence
    ``pi_t``. The mean weight is one.

    It takes logits ``(B, tasks)`` and labels ``(B, tasks)``; a label that is NaN is unknown.

    Args:
        labels: labels of the training exams, ``(N, tasks)``, 0, 1 or NaN, from which the prevalences are computed. If
            all or none of these exams have a finding, its weights are one.
    """

    positive: Tensor
    negative: Tensor

    def __init__(self, labels: Tensor) -> None:
        super().__init__()
        prevalence = labels.to(torch.float64).nanmean(dim=0)
        mixed = (prevalence > 0) & (prevalence < 1)
        if not bool(mixed.all()):
            logger.warning(
                "finding number %s cannot be learned, because all or none of the %d training exams have this finding",
                ", ".join(str(int(task) + 1) for task in (~mixed).nonzero()),
                len(labels),
            )
        half = torch.full_like(prevalence, 0.5)
        known = torch.where(mixed, prevalence, half)
        self.register_buffer("positive", (half / known).to(torch.float32), persistent=False)
        self.register_buffer("negative", (half / (1 - known)).to(torch.float32), persistent=False)

    def terms(self, prediction: Tensor, target: Tensor) -> list[Term]:
        known = torch.isfinite(target)
        label = torch.where(known, target, 0.0)
        weight = torch.where(known, label * self.positive + (1 - label) * self.negative, 0.0)
        entropy = binary_cross_entropy_with_logits(prediction, label, weight=weight, reduction="sum")
        return [Term(*mean_over_known(entropy, known))]
