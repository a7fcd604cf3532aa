"""Predict the relative location from an encoder's features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class LocationHead(nn.Module):
    """Predict the relative location from the encoder's last feature map (Zhang 2024, Fig. 1, bottom).

    The feature map is pooled and goes through one linear layer.

    Args:
        in_channels: channels of the feature map.
        pool: ``"average"``, or ``"max"`` as in a public implementation.
        hidden: widths of additional layers before the linear layer, each followed by ``dropout`` and ReLU.
        dropout: probability of dropout.
        spatial_dims: 2 for images, 3 for volumes.

    `forward` takes ``(B, in_channels, h, w)``, or ``(B, in_channels, h, w, d)`` for volumes, and returns ``(B, 1)``.
    """

    def __init__(
        self,
        in_channels: int,
        pool: str = "average",
        hidden: Sequence[int] = (),
        dropout: float = 0.0,
        spatial_dims: int = 2,
    ) -> None:
        super().__init__()
        if pool not in ("average", "max"):
            raise ValueError(f"pool must be 'average' or 'max', got {pool!r}")
        self.use_max = pool == "max"
        self.axes = list(range(2, 2 + spatial_dims))
        layers: list[nn.Module] = []
        for width in hidden:
            layers += [nn.Linear(in_channels, width), nn.Dropout(dropout), nn.ReLU(inplace=True)]
            in_channels = width
        self.layers = nn.Sequential(*layers, nn.Linear(in_channels, 1))

    def forward(self, features: Tensor) -> Tensor:
        if features.dim() != 2 + len(self.axes):
            raise ValueError("the features must come from images if spatial_dims is 2, and from volumes if it is 3")
        pooled = torch.amax(features, dim=self.axes) if self.use_max else features.mean(dim=self.axes)
        return self.layers(pooled)
