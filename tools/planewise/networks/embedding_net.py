"""The features of an encoder: averages over its deepest level, as a function and as a network of its own."""

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


def encoder_features(network: nn.Module, image: Tensor) -> Tensor:
    """The features of images: averages over the deepest level of an encoder.

    The encoder of every pretext has such features, whatever its head, so they can be used to compare pretexts.

    Args:
        network: network with an ``encoder`` that returns the features of its levels, finest first (`UNetEncoder`,
            `AlexNetEncoder`).
        image: the encoder's input, ``(B, C, H, W)`` or, for volumes, ``(B, C, H, W, D)``.

    Returns:
        ``(B, D)``.
    """
    return network.encoder(image)[-1].flatten(2).mean(dim=2)
