"""The trained parts of SimCLR: a network and a projector. The projector is discarded after training."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn


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
