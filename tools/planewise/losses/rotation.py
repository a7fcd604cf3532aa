"""Loss of rotation prediction, Taleb 2020 section 3.4."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn.functional import cross_entropy

from planewise.losses.terms import Term, TermLoss


class RotationLoss(TermLoss):
    """Cross-entropy of the turn, ``L_Rot = -1/K sum_k log softmax(r_hat^k)[r^k]``, r the class of the rotated image k.

    It takes logits ``(B, classes)`` and a dictionary with ``turn`` ``(B,)``, int64.
    """

    def terms(self, prediction: Tensor, target: Mapping[str, Tensor]) -> list[Term]:
        turn = target["turn"]
        return [Term(cross_entropy(prediction, turn), len(turn))]
