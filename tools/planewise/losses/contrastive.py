"""Losses of methods that compare embeddings: SimCLR, BYOL, SimSiam, exemplar networks and contrastive predictive coding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import ignite.distributed as idist
import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, softplus, triplet_margin_loss

from planewise.errors import InputError
from planewise.losses.gathering import gathered
from planewise.losses.terms import Term, TermLoss


class NTXentLoss(TermLoss):
    """NT-Xent (Chen 2020, Eq. 1): each view must be matched to the other view of its slice among the views of all slices.

    The loss is the mean of ``l_ij = -log(exp(sim(z_i, z_j) / tau) / sum_(k != i) exp(sim(z_i, z_k) / tau))`` over all
    views i, where j is the other view of the same slice, and sim is the cosine similarity.

    In training, each process compares its views with the views of all processes (`gathered`).

    A prediction is ``(B, 2, P)``, the projections of two views of B slices. The target is not used.

    Args:
        temperature: tau.

    Raises:
        InputError: a training batch has only one slice, so there is no other slice to compare it with.
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature must be above zero, got {temperature}")
        self.temperature = float(temperature)

    def terms(self, prediction: Tensor, target: Any) -> list[Term]:
        views = normalize(rearrange(prediction.float(), "b v p -> (v b) p"), dim=1)
        everyone = gathered(views)
        if torch.is_grad_enabled() and len(everyone) < 4:
            raise InputError(
                "every batch needs at least 2 slices for contrastive learning, got 1; choose a --batch_size of 2 or more "
                "that does not leave one slice over (--samples_per_epoch)"
            )
        first = idist.get_rank() * len(views) if len(everyone) > len(views) else 0
        own = first + torch.arange(len(views), device=views.device)
        # the views of this process are in this order: the first views of all slices, then the second views
        partner = first + (torch.arange(len(views), device=views.device) + len(views) // 2) % len(views)
        alike = views @ everyone.T / self.temperature
        alike = alike.scatter(1, own[:, None], -torch.inf)
        return [Term(cross_entropy(alike, partner), len(views))]


class BYOLLoss(TermLoss):
    """BYOL's loss (Grill 2020, Eq. 2): compare the prediction from one view with the target projection of the other view.

    The loss is ``|| q / |q| - z' / |z'| ||^2 = 2 - 2 cos(q, z')``, summed over both directions and averaged over slices.

    A prediction is ``(B, 2, 2, P)`` from `planewise.networks.ByolLearner`. The target is not used.
    """

    def terms(self, prediction: Tensor, target: Any) -> list[Term]:
        online, projected = normalize(prediction.float(), dim=3).unbind(dim=2)
        agreement = (online * projected.detach().flip(1)).sum(dim=2)
        return [Term((2 - 2 * agreement).sum(dim=1).mean(), len(prediction))]


class NegativeCosineLoss(TermLoss):
    """SimSiam's loss (Chen and He 2021, Eqs. 1 and 4): compare the prediction from one view with the projection of the
    other view.

    ``L = D(p_1, z_2) / 2 + D(p_2, z_1) / 2`` with ``D(p, z) = -p / |p| . z / |z|``, averaged over slices. No gradient flows
    through z. The minimum of the loss is -1.

    A prediction is ``(B, 2, 2, P)`` from `planewise.networks.SimSiamLearner`. The target is not used.
    """

    def terms(self, prediction: Tensor, target: Any) -> list[Term]:
        predicted, projected = normalize(prediction.float(), dim=3).unbind(dim=2)
        return [Term(-(predicted * projected.detach().flip(1)).sum(dim=2).mean(), len(prediction))]


class TripletLoss(TermLoss):
    """``L_Exe = 1/N sum_i max(0, D(z_i, z_i+) - D(z_i, z_i-) + alpha)`` (Taleb 2020, Eq. 3), where D is the L2 distance.

    It takes embeddings ``(B, V, D)`` of the V views from `planewise.pretexts.ExemplarViewsd`: the sample, its transformed
    version, and optionally a different sample. Without this third view, the negative is another sample of the batch
    (`negatives`).

    Args:
        margin: alpha.
    """

    def __init__(self, margin: float = 1.0) -> None:
        super().__init__()
        if not margin > 0:
            raise ValueError(f"margin must be above zero, got {margin}")
        self.margin = float(margin)

    def terms(self, prediction: Tensor, target: Mapping[str, Tensor]) -> list[Term]:
        anchor, positive = prediction[:, 0], prediction[:, 1]
        loss = triplet_margin_loss(anchor, positive, negatives(prediction, target), self.margin)
        return [Term(loss, len(prediction))]


def negatives(prediction: Tensor, target: Mapping[str, Tensor]) -> Tensor:
    """Select the embedding of a different sample for each sample, ``(B, D)``.

    If there is a third view, it is selected. Otherwise, it is the untransformed view of the sample with the highest
    ``order`` of all samples with another ``index`` (or of any, if all have the same).

    In training, each process selects from the batches of all processes (`gathered`).

    Args:
        prediction: ``(B, V, D)``, where V is 2 or 3.
        target: ``index`` ``(B,)`` and ``order`` ``(B, N)``, where N is the number of samples in the batches of all
            processes.

    Raises:
        InputError: a training batch has only one sample.
    """
    if prediction.shape[1] == 3:
        return prediction[:, 2]
    anchor, index, order = prediction[:, 0], target["index"], target["order"]
    rank, processes = idist.get_rank(), idist.get_world_size()
    others, numbers = anchor, index
    if processes > 1 and torch.is_grad_enabled():
        # from the order of processes to that of the whole batch, whose samples were assigned to the processes in turns
        both = (gathered(anchor), torch.as_tensor(idist.all_gather(index)))
        others, numbers = (
            rearrange(rows, "(process row) ... -> (row process) ...", process=processes) for rows in both
        )
    else:
        order = order[:, rank::processes]
    if torch.is_grad_enabled() and len(others) < 2:
        raise InputError(
            "every batch needs at least 2 samples for contrastive learning, got 1; choose a --batch_size of 2 or more "
            "that does not leave one sample over (--samples_per_epoch), or --negatives_from dataset"
        )
    chosen = order.masked_fill(index[:, None] == numbers, -1.0).argmax(dim=1)
    return others.index_select(0, chosen)


class PredictiveCodingLoss(TermLoss):
    """Contrastive loss: each prediction must identify its patch among negatives from other positions in the same image.

    A score s is the dot product of the prediction ``z^_(i+l,j,k)`` and the embedding of a patch; s+ is the score of the
    right patch, and s_n that of negative n. There are two forms:

    - ``infonce`` (Taleb 2020, Eq. 1, which prints the sum inside the exponential by mistake; van den Oord 2018, Eq. 4):
      the mean of ``-log(exp(s+) / (exp(s+) + sum_n exp(s_n)))`` over all predictions;
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
