"""A network that consists of an encoder and returns an embedding."""

from __future__ import annotations

from torch import Tensor, nn

from planewise.networks.named_parts import NamedParts


class EmbeddingNet(NamedParts):
    """An encoder with average pooling of its deepest level: the part that contrastive methods train and transfer.

    Args:
        encoder: returns the features of every level, finest first, and has the attribute ``out_channels``.

    `forward` takes the encoder's input, ``(B, C, H, W)``, or ``(B, C, H, W, D)`` for volumes, and returns ``(B,
    encoder.out_channels)``, like `encoder_features`.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.out_channels = int(encoder.out_channels)

    def forward(self, image: Tensor) -> Tensor:
        return self.encoder(image)[-1].flatten(2).mean(dim=2)
