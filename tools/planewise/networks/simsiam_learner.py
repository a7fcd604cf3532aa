"""The trained parts of SimSiam: one network for both views, a projector and a predictor."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from planewise.errors import InputError


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
