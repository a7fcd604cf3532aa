"""The trained parts of SimCLR, BYOL and SimSiam: a network, and heads that are discarded after training."""

from __future__ import annotations

from copy import deepcopy

import torch
from einops import rearrange
from torch import Tensor, nn

from planewise.errors import InputError


class SimClrLearner(nn.Module):
    """A network that computes embeddings, followed by a projector (f and g in Chen 2020, section 2.1).

    Args:
        network: maps ``(B, C, H, W)`` to embeddings ``(B, D)``; only this part is kept after training.
        projector: maps embeddings to ``(B, P)``.

    `forward` takes the two views of each slice as channels, ``(B, 2 C, H, W)``, runs them as one batch, and returns
    ``(B, 2, P)``.
    """

    #: Number of views, whose channels follow each other.
    pieces = 2

    def __init__(self, network: nn.Module, projector: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.projector = projector

    def forward(self, views: Tensor) -> Tensor:
        projected = self.projector(self.network(rearrange(views, "b (v c) h w -> (v b) c h w", v=self.pieces)))
        return rearrange(projected, "(v b) p -> b v p", b=len(views))


class ByolLearner(nn.Module):
    """An online network with projector and predictor, and a target network with projector (Grill 2020, section 3.1).

    The target is never trained. Instead, `follow` moves its weights towards the online weights. It has its own batch
    statistics.

    Args:
        network: maps ``(B, C, H, W)`` to embeddings ``(B, D)``; only this part is kept after training.
        projector: maps embeddings to ``(B, P)``.
        predictor: maps ``(B, P)`` to ``(B, P)``.

    `forward` takes the two views of each slice as channels, ``(B, 2 C, H, W)``, and returns ``(B, 2, 2, P)``: for each view,
    the online prediction and the target's projection, which has no gradient.
    """

    def __init__(self, network: nn.Module, projector: nn.Module, predictor: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.projector = projector
        self.predictor = predictor
        self.target_network = deepcopy(network).requires_grad_(False)
        self.target_projector = deepcopy(projector).requires_grad_(False)

    def forward(self, views: Tensor) -> Tensor:
        images = rearrange(views, "b (v c) h w -> (v b) c h w", v=2)
        online = self.predictor(self.projector(self.network(images)))
        with torch.no_grad():
            target = self.target_projector(self.target_network(images))
        return rearrange(torch.stack([online, target]), "two (v b) p -> b v two p", b=len(views))

    @torch.no_grad()
    def follow(self, momentum: float) -> None:
        """Update the target weights xi from the online weights theta: ``xi <- tau xi + (1 - tau) theta``.

        Args:
            momentum: tau; 1 leaves the target unchanged.
        """
        online = [*self.network.parameters(), *self.projector.parameters()]
        target = [*self.target_network.parameters(), *self.target_projector.parameters()]
        for slow, fast in zip(target, online, strict=True):
            slow.lerp_(fast, 1 - momentum)


class SimSiamLearner(nn.Module):
    """A network with a projector, followed by a predictor (f and h in Chen and He 2021, section 3).

    Both views go through the same weights. There is no momentum network and no comparison with other slices. Only one thing
    keeps the embeddings from collapsing: no gradient flows through the projections.

    Args:
        network: maps ``(B, C, H, W)`` to embeddings ``(B, D)``; only this part is kept after training.
        projector: maps embeddings to ``(B, P)``.
        predictor: maps ``(B, P)`` to ``(B, P)``.

    `forward` takes the two views of each slice as channels, ``(B, 2 C, H, W)``, and returns ``(B, 2, 2, P)``: for each view,
    the prediction ``p`` and the projection ``z``, which has no gradient. Each view has its own batch statistics.

    Raises:
        InputError: a training batch has only one slice, which is too few for batch statistics.
    """

    def __init__(self, network: nn.Module, projector: nn.Module, predictor: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.projector = projector
        self.predictor = predictor

    def forward(self, views: Tensor) -> Tensor:
        if self.training and len(views) < 2:
            raise InputError(
                "every batch needs at least 2 slices for the batch statistics of the heads, got 1; choose a --batch_size of "
                "2 or more that does not leave one slice over (--samples_per_epoch)"
            )
        projected = [self.projector(self.network(view)) for view in views.chunk(2, dim=1)]
        return torch.stack([torch.stack([self.predictor(z), z.detach()], dim=1) for z in projected], dim=1)
