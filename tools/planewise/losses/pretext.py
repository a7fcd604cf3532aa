"""Losses of the pretexts: planes, locations, order, restored images, and methods that compare embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import ignite.distributed as idist
import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    normalize,
    softplus,
    triplet_margin_loss,
)

from planewise.errors import InputError
from planewise.losses.terms import Term, TermLoss, gathered, mean_over_known

#: Label of pixels whose class is unknown, as in `planewise.geometry.square_labels`.
_UNKNOWN = -1


def predicted_location(prediction: Tensor) -> Tensor:
    """The location, ``(B,)``, from the last channel, which is constant over the image or volume."""
    return prediction[:, -1].flatten(1)[:, 0]


class RelativeOrientationLoss(TermLoss):
    """Mean squared difference of heatmaps, Zhang 2024 Eq. (2).

    ``L_ori = 1 / (N K |Omega|) sum_i sum_k sum_(x,y) ||G_ik(x, y) - G^_ik(x, y)||^2``, over the heatmaps that are known.

    A prediction is the network's output ``(B, C, H, W)``: the heatmaps come first, and the location channel last. The
    target is a dictionary with ``heatmaps`` ``(B, K, H, W)``; NaN is unknown.
    """

    def terms(self, prediction: Tensor, target: Mapping[str, Tensor]) -> list[Term]:
        heatmaps = target["heatmaps"]
        known = torch.isfinite(heatmaps[:, :, :1, :1])
        difference = torch.where(known, prediction[:, : heatmaps.shape[1]] - heatmaps, 0.0)
        squared = difference.square().mean(dim=(2, 3))
        return [Term(*mean_over_known(squared.sum(), known))]


class RelativeLocationLoss(TermLoss):
    """Mean squared difference of locations, Zhang 2024 Eq. (5).

    ``L_loc = 1 / N sum_i ||l_i - l^_i||^2``, over the slices whose location is known. It takes predictions as
    above, and a dictionary with ``location`` ``(B,)``; NaN is unknown.
    """

    def terms(self, prediction: Tensor, target: Mapping[str, Tensor]) -> list[Term]:
        location = target["location"]
        known = torch.isfinite(location)
        difference = torch.where(known, predicted_location(prediction) - location, 0.0)
        return [Term(*mean_over_known(difference.square().sum(), known))]


class MultitaskLoss(TermLoss):
    """``L_MTL = L_ori + L_loc``, Zhang 2024 Eq. (6), with a weight for each term.

    Args:
        orientation_weight, location_weight: weights of the two terms; both are one in the paper. The terms are called
            ``orientation`` and ``location`` in the log.
    """

    def __init__(self, orientation_weight: float = 1.0, location_weight: float = 1.0) -> None:
        super().__init__()
        self.orientation, self.location = RelativeOrientationLoss(), RelativeLocationLoss()
        self.weights = {"orientation": float(orientation_weight), "location": float(location_weight)}

    def terms(self, prediction: Tensor, target: Mapping[str, Tensor]) -> list[Term]:
        losses: dict[str, TermLoss] = {"orientation": self.orientation, "location": self.location}
        return [
            replace(term, name=name, weight=self.weights[name] * term.weight)
            for name, loss in losses.items()
            for term in loss.terms(prediction, target)
        ]


class PositionLoss(TermLoss):
    """Cross-entropy of ten classes, nine squares and the background, over known pixels (Bai 2019, section 2).

    ``L = - 1 / |K| sum_(x in K) log p_y(x)(x)``, where K are these pixels and p is the softmax of the logits. It takes
    logits ``(B, 10, H, W)`` and a dictionary with ``squares`` ``(B, H, W)``, int64; -1 is unknown.
    """

    def terms(self, prediction: Tensor, target: Mapping[str, Tensor]) -> list[Term]:
        squares = target["squares"]
        total = cross_entropy(prediction.float(), squares, ignore_index=_UNKNOWN, reduction="none").sum(
            dtype=torch.float32
        )
        return [Term(*mean_over_known(total, squares != _UNKNOWN))]


class RestorationLoss(TermLoss):
    """Mean squared difference of restored image and target: Models Genesis (Zhou 2019), masked autoencoders (He 2022).

    ``L = 1 / |K| sum_(x in K) (f(x) - g(x))^2``, where f is the network's output, g the target and K a set of pixels.

    It takes predictions ``(B, C, H, W)`` and a dictionary with ``restored``, of the same shape, and, if ``hidden_only`` is
    true, ``hidden`` ``(B, 1, H, W)``, bool. Volumes have a further axis ``D`` after ``H, W``.

    Args:
        hidden_only: whether K is only the hidden pixels (He et al. 2022, section 3, "Reconstruction target"), not all.
    """

    def __init__(self, hidden_only: bool = False) -> None:
        super().__init__()
        self.hidden_only = bool(hidden_only)

    def terms(self, prediction: Tensor, target: Mapping[str, Tensor]) -> list[Term]:
        squares = (prediction.float() - target["restored"].float()).square()
        if not self.hidden_only:
            return [Term(squares.mean(), squares.numel())]
        hidden = target["hidden"].expand_as(squares)
        return [Term(*mean_over_known((squares * hidden).sum(), hidden))]


class SliceOrderLoss(TermLoss):
    """Binary cross-entropy of the order of two slices (Zhang, P. et al. 2017).

    ``L = -1/N sum_i [y_i log p_i + (1 - y_i) log(1 - p_i)]``, where ``p_i`` is the predicted probability that the first
    slice of pair i is nearer to the beginning of the stack than the second. ``y_i`` is 1 if it is nearer, otherwise 0.

    It takes logits ``(B, 1)`` and a dictionary with ``first_is_nearer`` ``(B,)``.
    """

    def terms(self, prediction: Tensor, target: Mapping[str, Tensor]) -> list[Term]:
        nearer = target["first_is_nearer"]
        return [Term(binary_cross_entropy_with_logits(prediction[:, 0], nearer), len(nearer))]


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
        self.temperature = float(temperature)

    def terms(self, prediction: Tensor, target: Any) -> list[Term]:
        views = normalize(rearrange(prediction.float(), "b v p -> (v b) p"), dim=1)
        everyone = gathered(views)
        if torch.is_grad_enabled() and len(everyone) < 4:
            raise InputError(
                "a batch has one slice, but must have two or more to compare; change --batch_size or --samples_per_epoch"
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
    """SimSiam's loss (Chen and He 2021, Eqs. 1 and 4): prediction of one view against projection of the other view.

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
    version, and optionally a different sample; without it, the negative is another of the batch (`negatives`).

    Args:
        margin: alpha.
    """

    def __init__(self, margin: float = 1.0) -> None:
        super().__init__()
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
        target: ``index`` ``(B,)`` and ``order`` ``(B, N)``, for N samples in the batches of all processes.

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
            "a batch has one sample, but must have two or more to compare; change --batch_size, or --negatives_from"
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
      all pairs of a prediction and a patch: ``-log sigma(s+)`` for the right one, ``-log sigma(-s_n)`` for others.

    It takes scores ``(B, Q, P)`` of all patches (`planewise.networks.PredictiveCodingLearner`) and a dictionary with
    ``candidates`` ``(B, Q, 1 + N)``, the numbers of the candidate patches, the right patch first.

    Args:
        form: ``"infonce"`` or ``"binary"``.
    """

    def __init__(self, form: Literal["infonce", "binary"] = "infonce") -> None:
        super().__init__()
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
