"""Relative location from an encoder's features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class LocationHead(nn.Module):
    """Relative location from the encoder's last feature map: pooling, then one fully connected layer (Fig. 1, bottom).

    Args:
        in_channels: of the feature map.
        pool: ``"average"``, or ``"max"`` as in a public implementation.
        hidden: widths of further layers before the last, with ReLU between and ``dropout`` before each; default none.
        dropout: probability.

    `forward` takes ``(B, in_channels, h, w)`` and returns ``(B, 1)``.
    """

    def __init__(
        self, in_channels: int, pool: str = "average", hidden: Sequence[int] = (), dropout: float = 0.0
    ) -> None:
        super().__init__()
        if pool not in ("average", "max"):
            raise ValueError(f"pool is 'average' or 'max', not {pool!r}")
        self.use_max = pool == "max"
        layers: list[nn.Module] = []
        for width in hidden:
            layers += [nn.Linear(in_channels, width), nn.Dropout(dropout), nn.ReLU(inplace=True)]
            in_channels = width
        self.layers = nn.Sequential(*layers, nn.Linear(in_channels, 1))

    def forward(self, features: Tensor) -> Tensor:
        pooled = torch.amax(features, dim=(2, 3)) if self.use_max else features.mean(dim=(2, 3))
        return self.layers(pooled)
