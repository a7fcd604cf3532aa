"""Project embeddings to the space in which contrastive losses compare them."""

from __future__ import annotations

from torch import Tensor, nn


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
        last_norm: bool = False,
    ) -> None:
        super().__init__()
        if norm not in ("batch", "none"):
            raise ValueError(f"the norm of a projection head must be 'batch' or 'none', got {norm!r}")
        parts: list[nn.Module] = []
        for width in [in_channels, *[hidden] * (layers - 2)]:
            # there is no bias before a normalisation, because the normalisation would remove it
            parts += [nn.Linear(width, hidden, bias=norm == "none"), *_norm(norm, hidden), nn.ReLU(inplace=True)]
        last = _norm(norm, out_channels) if last_norm else []
        self.layers = nn.Sequential(*parts, nn.Linear(hidden, out_channels, bias=not last), *last)
        self.out_channels = out_channels

    def forward(self, embedding: Tensor) -> Tensor:
        return self.layers(embedding)


def _norm(norm: str, width: int) -> list[nn.Module]:
    return [nn.BatchNorm1d(width)] if norm == "batch" else []
