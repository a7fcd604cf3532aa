"""The trained parts of SimCLR: a network and a projector. The projector is discarded after training."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn


class SimClrLearner(nn.Module):
    """A network that computes embeddings, followed by a projector (f and g in Chen 2020, section 2.1).

    Args:
        network: maps ``(B, 1, H, W)`` to embeddings ``(B, D)``; only this part is kept after training.
        projector: maps embeddings to ``(B, P)``.

    `forward` takes the views of each slice as channels, ``(B, V, H, W)``, runs them as one batch, and returns ``(B, V, P)``.
    """

    def __init__(self, network: nn.Module, projector: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.projector = projector

    def forward(self, views: Tensor) -> Tensor:
        projected = self.projector(self.network(rearrange(views, "b v h w -> (v b) 1 h w")))
        return rearrange(projected, "(v b) p -> b v p", b=len(views))
