"""Loss of ordered grades."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from planewise.losses.terms import Term, TermLoss


def cumulative_targets(grades: Tensor, thresholds: int) -> Tensor:
    """Cumulative targets of grades (Cheng 2008): ``t_k = 1`` if the grade is above k, otherwise 0, for k = 0, 1, ...

    For example, grade 2 of five grades becomes ``1, 1, 0, 0``.

    Args:
        grades: ``(...)``, whole numbers from 0 to ``thresholds``.
        thresholds: number of grades minus one.

    Returns:
        ``(..., thresholds)``, float32.
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
