"""Loss of anatomical position prediction, Bai 2019 section 2."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from planewise.losses.terms import Term, TermLoss, mean_over_known

#: Label of pixels whose class is unknown, as in `planewise.geometry.square_labels`.
_UNKNOWN = -1


class PositionLoss(TermLoss):
    """Cross-entropy of ten classes (nine squares and the background) over the pixels whose class is known.

    ``L = - 1 / |K| sum_(x in K) log p_y(x)(x)``, where K are these pixels and p is the softmax of the logits. It takes
    logits ``(B, 10, H, W)`` and a dictionary with ``squares`` ``(B, H, W)``, int64; -1 is unknown.
    """

    def terms(self, prediction: Tensor, target: Mapping[str, Tensor]) -> list[Term]:
        squares = target["squares"]
        total = cross_entropy(prediction.float(), squares, ignore_index=_UNKNOWN, reduction="none").sum(
            dtype=torch.float32
        )
        return [Term(*mean_over_known(total, squares != _UNKNOWN))]
