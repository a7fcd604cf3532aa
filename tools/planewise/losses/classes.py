"""Loss of a classification into several classes."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy

from planewise.losses.terms import Term, TermLoss, mean_over_known


class ClassLoss(TermLoss):
    """Cross-entropy over the exams whose class is known (Nakashima 2022, section 5.1).

    ``L = -1 / |K| sum_(i in K) log softmax(x_i)[y_i]``, where K are the exams with a known class. It takes logits
    ``(B, classes)`` and labels ``(B,)``; a negative label is unknown.
    """

    def terms(self, prediction: Tensor, target: Tensor) -> list[Term]:
        known = target >= 0
        entropy = cross_entropy(prediction, target.clamp_min(0), reduction="none")
        return [Term(*mean_over_known((entropy * known).sum(), known))]
