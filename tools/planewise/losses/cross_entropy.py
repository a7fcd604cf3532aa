"""Cross-entropies of one of several classes, of findings that may be present or not, and of ordered grades."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from planewise.losses.terms import Term, TermLoss, mean_over_known

logger = logging.getLogger(__name__)


class CrossEntropyLoss(TermLoss):
    """Cross-entropy of the class that a pretext drew, ``L = -1/K sum_k log softmax(x_k)[y_k]``.

    The classes are rotations (Taleb 2020 section 3.4, ``L_Rot``), relative patch locations (Taleb 2020, Eq. 2, which is a
    sum; the mean does not depend on the batch size), or permutations of jigsaw tiles (Noroozi and Favaro 2016).

    It takes logits ``(B, classes)`` and a dictionary with the classes ``(B,)``, int64, under ``key``.
    """

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key

    def terms(self, prediction: Tensor, target: Mapping[str, Tensor]) -> list[Term]:
        classes = target[self.key]
        return [Term(cross_entropy(prediction, classes), len(classes))]


class ClassLoss(TermLoss):
    """Cross-entropy over the exams whose class is known (Nakashima 2022, section 5.1).

    ``L = -1 / |K| sum_(i in K) log softmax(x_i)[y_i]``, where K are the exams with a known class. It takes logits
    ``(B, classes)`` and labels ``(B,)``; a negative label is unknown.
    """

    def terms(self, prediction: Tensor, target: Tensor) -> list[Term]:
        known = target >= 0
        entropy = cross_entropy(prediction, target.clamp_min(0), reduction="none")
        return [Term(*mean_over_known((entropy * known).sum(), known))]


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


def cumulative_targets(grades: Tensor, thresholds: int) -> Tensor:
    """Cumulative targets of grades (Cheng 2008): ``t_k = 1`` if the grade is above k, otherwise 0, for k = 0, 1, ...

    Args:
        grades: ``(...)``, whole numbers from 0 to ``thresholds``, which is the number of grades minus one.

    Returns:
        ``(..., thresholds)``, float32: ``1, 1, 0, 0`` for grade 2 of five grades.
    """
    return (grades[..., None] > torch.arange(thresholds, device=grades.device)).to(torch.float32)


class OrdinalLoss(TermLoss):
    """Binary cross-entropy of whether the grade is above each threshold (Cheng 2008).

    The code of the authors of Taleb 2020 uses this loss; the paper names no loss.

    ``L = -1 / (B K) sum_(i, k) [t_ik log s(x_ik) + (1 - t_ik) log(1 - s(x_ik))]``, where s is the sigmoid. It takes logits
    ``(B, K)``, one for each of K thresholds, and grades ``(B,)`` from 0 to K.
    """

    def terms(self, prediction: Tensor, target: Tensor) -> list[Term]:
        wanted = cumulative_targets(target, prediction.shape[1])
        return [Term(binary_cross_entropy_with_logits(prediction.float(), wanted), len(target))]
