"""An encoder as a network of its own, whose output is an embedding."""

from __future__ import annotations

from torch import Tensor, nn

from planewise.networks.named_parts import NamedParts


class EmbeddingNet(NamedParts):
    """The encoder and the average over its deepest level: what contrastive methods train and what transfers.

    Args:
        encoder: gives the features of every level, finest first, and has ``out_channels``.

    `forward` takes what the encoder takes, ``(B, C, H, W)``, or ``(B, C, H, W, D)`` of volumes, and returns
    ``(B, encoder.out_channels)``, as `encoder_features` does.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.out_channels = int(encoder.out_channels)

    def forward(self, image: Tensor) -> Tensor:
        return self.encoder(image)[-1].flatten(2).mean(dim=2)
