"""The heads of networks: relative locations, and projections to the space of contrastive losses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from planewise.parse_bool import parse_bool


class ProjectionHead(nn.Module):
    """Fully connected layers with batch normalisation and ReLU between them.

    The projectors of SimCLR and BYOL, and BYOL's predictor, have two layers. SimSiam's projector has three layers,
    followed by another normalisation. Each process normalises its own batch, unless ``sync_batch_norm`` of
    ``configs/multi_gpu_train.yaml`` synchronises the processes (only on GPUs).

    Args:
        in_channels: width of the embedding.
        hidden: width of all layers except the last.
        out_channels: width of the last layer.
        norm: ``"batch"`` or ``"none"``.
        layers: number of layers.
        last_norm: whether the last layer is also followed by a normalisation.

    `forward` takes ``(B, in_channels)`` and returns ``(B, out_channels)``.
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        out_channels: int,
        norm: str = "batch",
        layers: int = 2,
        last_norm: bool | str = False,
    ) -> None:
        super().__init__()
        if norm not in ("batch", "none"):
            raise ValueError(f"the norm of a projection head must be 'batch' or 'none', got {norm!r}")
        parts: list[nn.Module] = []
        for width in [in_channels, *[hidden] * (layers - 2)]:
            # there is no bias before a normalisation, because the normalisation would remove it
            parts += [nn.Linear(width, hidden, bias=norm == "none"), *_norm(norm, hidden), nn.ReLU(inplace=True)]
        # MONAI's ckpt_export and onnx_export pass false as text
        last = _norm(norm, out_channels) if parse_bool(last_norm, "last_norm") else []
        self.layers = nn.Sequential(*parts, nn.Linear(hidden, out_channels, bias=not last), *last)
        self.out_channels = out_channels

    def forward(self, embedding: Tensor) -> Tensor:
        return self.layers(embedding)


def _norm(norm: str, width: int) -> list[nn.Module]:
    return [nn.BatchNorm1d(width)] if norm == "batch" else []


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
