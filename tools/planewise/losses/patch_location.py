"""Loss of relative patch location, Taleb 2020 section 3.2."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn.functional import cross_entropy

from planewise.losses.terms import Term, TermLoss


class PatchLocationLoss(TermLoss):
    """Cross-entropy of the query's place, Eq. (2): ``L_RPL = -1/K sum_k log p(y_q | y_hat_q, {y_n})``, y_q the place of
    the k-th query relative to the middle patch, y_n the other places. The paper sums; this is the mean, so that the
    learning rate does not depend on the batch size.

    It takes logits ``(B, places)`` and a dictionary with ``place`` ``(B,)``, int64.
    """

    def terms(self, prediction: Tensor, target: Mapping[str, Tensor]) -> list[Term]:
        place = target["place"]
        return [Term(cross_entropy(prediction, place), len(place))]
