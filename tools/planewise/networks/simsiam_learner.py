"""The trained parts of SimSiam: one network for both views, a projector and a predictor."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from planewise.errors import InputError


class SimSiamLearner(nn.Module):
    """A network with a projector, followed by a predictor (Chen and He 2021, section 3: f and h).

    Both views go through the same weights. There is no momentum network and no contrast with other slices: only the
    missing gradient of the projections keeps the embeddings from collapsing.

    Args:
        network: from ``(B, 1, H, W)`` to embeddings ``(B, D)``; this part is kept.
        projector: from embeddings to ``(B, P)``.
        predictor: from ``(B, P)`` to ``(B, P)``.

    `forward` takes the two views of each slice as channels ``(B, 2, H, W)`` and returns ``(B, 2, 2, P)``: for each view, the
    prediction ``p`` and the projection ``z``, which has no gradient. Each view has its own batch statistics.

    Raises:
        InputError: a training batch has only one slice, so it has no batch statistics.
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
        projected = [self.projector(self.network(view[:, None])) for view in views.unbind(1)]
        return torch.stack([torch.stack([self.predictor(z), z.detach()], dim=1) for z in projected], dim=1)
