"""Losses of methods that compare two views of each slice: SimCLR, BYOL and SimSiam."""

from __future__ import annotations

from typing import Any

import ignite.distributed as idist
import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from planewise.errors import InputError
from planewise.losses.gathering import gathered
from planewise.losses.terms import Term, TermLoss


class NTXentLoss(TermLoss):
    """NT-Xent (Chen 2020, Eq. 1): each view must be matched to the other view of its slice among the views of all slices.

    The loss is the mean of ``l_ij = -log(exp(sim(z_i, z_j) / tau) / sum_(k != i) exp(sim(z_i, z_k) / tau))`` over all
    views i, where j is the other view of the same slice, and sim is the cosine similarity.

    In training with several processes, each process compares its views with the views of all processes, and gradients
    flow to all of them. N processes therefore make the same step as one process with a batch that is N times larger. In
    validation, each process compares only the views of its own batch.

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
