"""From an embedding to the space in which contrastive losses compare it."""

from __future__ import annotations

from torch import Tensor, nn


class ProjectionHead(nn.Module):
    """A fully connected layer, batch normalisation, ReLU, and a second layer (SimCLR's projector; BYOL's projector and
    predictor).

    Batch normalisation spans the batch of its own process, unless ``sync_batch_norm`` of
    ``configs/multi_gpu_train.yaml`` joins them, which works on GPUs.

    Args:
        in_channels: of the embedding.
        hidden: width of the first layer.
        out_channels: width of the second.
        norm: ``"batch"``, or ``"none"``.

    `forward` takes ``(B, in_channels)`` and returns ``(B, out_channels)``.
    """

    def __init__(self, in_channels: int, hidden: int, out_channels: int, norm: str = "batch") -> None:
        super().__init__()
        if norm not in ("batch", "none"):
            raise ValueError(f"norm of a projection head must be 'batch' or 'none', got {norm!r}")
        # the normalisation would remove a bias again
        first = nn.Linear(in_channels, hidden, bias=norm == "none")
        between = [nn.BatchNorm1d(hidden)] if norm == "batch" else []
        self.layers = nn.Sequential(first, *between, nn.ReLU(inplace=True), nn.Linear(hidden, out_channels))
        self.out_channels = out_channels

    def forward(self, embedding: Tensor) -> Tensor:
        return self.layers(embedding)
