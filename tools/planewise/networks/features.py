"""What an encoder makes of an image, as one row of numbers."""

from __future__ import annotations

from torch import Tensor, nn


def encoder_features(network: nn.Module, image: Tensor) -> Tensor:
    """The features of images: the average over the encoder's deepest level.

    Every pretext's encoder gives them, whatever its head, so they compare pretexts with each other.

    Args:
        network: with an ``encoder`` that gives the features of its levels, finest first (`UNetEncoder`, `AlexNetEncoder`).
        image: ``(B, C, H, W)``, or ``(B, C, H, W, D)`` of volumes, as the encoder takes it.

    Returns:
        ``(B, D)``.
    """
    return network.encoder(image)[-1].flatten(2).mean(dim=2)
