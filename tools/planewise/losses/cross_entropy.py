"""Losses of one of several classes, which a pretext drew or a classification asks for."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn.functional import cross_entropy

from planewise.losses.terms import Term, TermLoss, mean_over_known


class CrossEntropyLoss(TermLoss):
    """Cross-entropy of the class that a pretext drew, ``L = -1/K sum_k log softmax(x_k)[y_k]``.

    The classes are rotations (Taleb 2020 section 3.4, ``L_Rot``), relative patch locations (Taleb 2020, Eq. 2), or
    permutations of jigsaw tiles (Noroozi and Favaro 2016). Eq. 2 is a sum; the mean is used here, so that the learning
    rate does not depend on the batch size. If labels may be unknown, use `planewise.losses.ClassLoss`.

    It takes logits ``(B, classes)`` and a dictionary with the classes ``(B,)``, int64, under ``key``.

    Args:
        key: key of the classes in the target.
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
