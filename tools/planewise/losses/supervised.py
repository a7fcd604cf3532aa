"""Losses of labels: classes, findings that may be present or not, ordered grades, and segmentations."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, one_hot

from planewise.losses.terms import Term, TermLoss, gathered, mean_over_known

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


#: Smoothing, as in MONAI's `DiceLoss`.
_E = 1e-5


class SegmentationLoss(TermLoss):
    """Cross-entropy plus an L1 penalty on the weights of the convolutions (Zhang 2024, sections 4.4 and 5.3).

    The paper only says "an L1 regularization of 5e-5". A sum over all weights outweighs the cross-entropy at the paper's
    width, and within ten steps little remains of pretrained weights; a mean preserves them (tools/docs/l1.md measures both).
    The penalty does not include biases and normalisation, and applies only in training.

    Args:
        network: the network whose convolutions are penalised.
        l1: factor of the penalty (the paper's 5e-5); 0 switches it off.
        l1_reduction: ``"mean"`` or ``"sum"`` of the absolute weights.
        class_weights: weight of each class in the cross-entropy, background first; None weights all alike.

    It takes logits ``(B, classes, H, W)`` and labels ``(B, 1, H, W)``, with a further axis ``D`` for volumes. Its terms are
    ``cross_entropy`` and ``l1``, which is the penalty multiplied by its factor.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        l1: float = 5e-5,
        l1_reduction: Literal["mean", "sum"] = "mean",
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        convolutions = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
        # a plain list, because the parameters of a submodule would count as this module's own
        self._weights = [module.weight for module in network.modules() if isinstance(module, convolutions)]
        self.l1 = float(l1)
        self.l1_reduction = l1_reduction
        weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.register_buffer("class_weights", weights, persistent=False)

    def terms(self, prediction: Tensor, target: Tensor) -> list[Term]:
        label = target[:, 0].long()
        weights = None if self.class_weights is None else self.class_weights.to(prediction)
        count = label.numel() if weights is None else weights[label].sum()
        entropy = Term(cross_entropy(prediction, label, weight=weights), count, name="cross_entropy")
        if not self.l1 or not torch.is_grad_enabled():
            return [entropy]
        trained = [weight for weight in self._weights if weight.requires_grad]
        penalty = self.l1 * torch.stack(_absolute_sums(trained)).sum()
        if self.l1_reduction == "mean":
            penalty = penalty / sum(weight.numel() for weight in trained)
        return [entropy, Term(penalty, 1, name="l1")]


def _absolute_sums(weights: list[Tensor]) -> list[Tensor]:
    """The sum of the absolute values of each tensor. On a GPU, one kernel replaces two launches per tensor."""
    if any(weight.device.type == "cpu" for weight in weights):
        return [weight.abs().sum() for weight in weights]
    return list(torch._foreach_norm(weights, 1))


class SoftDiceLoss(TermLoss):
    """One minus the mean soft Dice of all classes, for volumes (Taleb 2020).

    ``L = 1 - 1/C sum_c (2 sum_v p_v g_v + e) / (sum_v p_v + sum_v g_v + e)`` with ``p = softmax(x)`` and ``e = 1e-5``. With
    one process, the loss equals MONAI's `DiceLoss` with softmax, background and ``batch``.

    The background counts as a class. Otherwise, a structure that is not learned yet could spread over the background at the
    cost of only its own Dice. The sums run over the voxels v of the whole batch, in all processes: many volumes and most
    slices lack a structure, so separate sums would hardly penalise false predictions in them. The authors' code does both,
    too; the paper names no loss.

    It takes logits ``(B, C, ...)`` and class numbers ``(B, 1, ...)``.
    """

    def terms(self, prediction: Tensor, target: Tensor) -> list[Term]:
        shares = prediction.softmax(dim=1).flatten(2)
        truth = one_hot(target[:, 0].long().flatten(1), prediction.shape[1]).to(shares).movedim(-1, 1)
        # (1, 2, classes); MONAI's loss would sum only over its own process
        sums = torch.stack([2 * (shares * truth).sum((0, 2)), (shares + truth).sum((0, 2))])[None]
        shared, held = gathered(sums).sum(0)
        return [Term(1 - ((shared + _E) / (held + _E)).mean(), len(prediction))]
