"""Loss of contrastive predictive coding, Taleb 2020 section 3.1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, softplus

from planewise.losses.terms import Term, TermLoss


class PredictiveCodingLoss(TermLoss):
    """Contrastive loss: each prediction must identify its patch among negatives from other positions in the same image.

    A score s is the dot product of the prediction ``z^_(i+l,j,k)`` and the embedding of a patch; s+ is the score of the
    right patch, and s_n that of negative n. There are two forms:

    - ``infonce`` (Taleb 2020, Eq. 1): the mean of ``-log(exp(s+) / (exp(s+) + sum_n exp(s_n)))`` over all predictions.
      The paper prints the sum inside the exponential, but its text describes the categorical cross-entropy of van den
      Oord 2018 (Eq. 4);
    - ``binary`` (the same section: "solved as a binary pairwise classification task"): the mean binary cross-entropy of
      all pairs of a prediction and a patch, ``-log sigma(s+)`` for the right patch and ``-log sigma(-s_n)`` for each
      negative.

    It takes scores ``(B, Q, P)`` of all patches (`planewise.networks.PredictiveCodingLearner`) and a dictionary with
    ``candidates`` ``(B, Q, 1 + N)``, the numbers of the candidate patches, the right patch first.

    Args:
        form: ``"infonce"`` or ``"binary"``.
    """

    def __init__(self, form: Literal["infonce", "binary"] = "infonce") -> None:
        super().__init__()
        if form not in ("infonce", "binary"):
            raise ValueError(f"the form of the loss must be 'infonce' or 'binary', got {form!r}")
        self.form = form

    def terms(self, prediction: Tensor, target: Mapping[str, Tensor]) -> list[Term]:
        scores = candidate_scores(prediction, target)
        if self.form == "infonce":
            first = torch.zeros(len(scores), dtype=torch.long, device=scores.device)
            return [Term(cross_entropy(scores, first), len(scores))]
        pairs = torch.cat([softplus(-scores[:, :1]), softplus(scores[:, 1:])], dim=1)
        return [Term(pairs.mean(), pairs.numel())]


def candidate_scores(prediction: Tensor, target: Mapping[str, Tensor]) -> Tensor:
    """Scores of the candidates of every prediction, ``(B * Q, 1 + N)``, with the right patch first."""
    return prediction.gather(2, target["candidates"]).flatten(0, 1)
