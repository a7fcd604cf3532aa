"""The networks of BYOL: an online network with two heads, which is trained, and a target network that follows it."""

from __future__ import annotations

from copy import deepcopy

import torch
from einops import rearrange
from torch import Tensor, nn


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
