"""Loss of pretexts that choose one of several classes."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn.functional import cross_entropy

from planewise.losses.terms import Term, TermLoss


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
