"""Losses for fine-tuning on segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from planewise.losses.gathering import gathered
from planewise.losses.terms import Term, TermLoss

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
        if l1_reduction not in ("mean", "sum"):
            raise ValueError(f"l1_reduction must be 'mean' or 'sum', got {l1_reduction!r}")
        convolutions = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
        # a plain list, because the parameters of a submodule would count as this module's own
        self._weights = [module.weight for module in network.modules() if isinstance(module, convolutions)]
        self.l1 = float(l1)
        self.l1_reduction = l1_reduction
        weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.register_buffer("class_weights", weights, persistent=False)

    def terms(self, prediction: Tensor, target: Tensor) -> list[Term]:
        if target.shape[1] != 1:
            raise ValueError(f"the label has shape {tuple(target.shape)}; it must have one channel of class numbers")
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
