"""Loss of slice ordering, Zhang, P. et al. 2017."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from planewise.losses.terms import Term, TermLoss


class SliceOrderLoss(TermLoss):
    """Binary cross-entropy of the order of two slices.

    ``L = -1/N sum_i [y_i log p_i + (1 - y_i) log(1 - p_i)]``, where ``p_i`` is the predicted probability that the first
    slice of pair i is nearer to the beginning of the stack than the second. ``y_i`` is 1 if it is nearer, otherwise 0.

    It takes logits ``(B, 1)`` and a dictionary with ``first_is_nearer`` ``(B,)``.
    """

    def terms(self, prediction: Tensor, target: Mapping[str, Tensor]) -> list[Term]:
        nearer = target["first_is_nearer"]
        return [Term(binary_cross_entropy_with_logits(prediction[:, 0], nearer), len(nearer))]
