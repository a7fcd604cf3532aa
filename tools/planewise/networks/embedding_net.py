"""A network that consists only of an encoder and returns an embedding."""

from __future__ import annotations

from torch import Tensor, nn

from planewise.networks.named_parts import NamedParts


class EmbeddingNet(NamedParts):
    """An encoder, followed by average pooling of its deepest level. Contrastive methods train and transfer this part.

    Args:
        encoder: module that returns the features of every level, finest first, and has the attribute ``out_channels``.

    `forward` takes the encoder's input, ``(B, C, H, W)`` or, for volumes, ``(B, C, H, W, D)``, and returns
    ``(B, encoder.out_channels)``, like `encoder_features`.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.out_channels = int(encoder.out_channels)

    def forward(self, image: Tensor) -> Tensor:
        return self.encoder(image)[-1].flatten(2).mean(dim=2)
