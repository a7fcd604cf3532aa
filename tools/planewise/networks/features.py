"""The features of an image from an encoder, as one row of numbers."""

from __future__ import annotations

from torch import Tensor, nn


def encoder_features(network: nn.Module, image: Tensor) -> Tensor:
    """The features of images: the average over the encoder's deepest level.

    Every pretext's encoder has them, with any head, so they allow comparisons between pretexts.

    Args:
        network: network with an ``encoder`` that returns the features of its levels, finest first (`UNetEncoder`,
            `AlexNetEncoder`).
        image: ``(B, C, H, W)``, or ``(B, C, H, W, D)`` for volumes, the encoder's input.

    Returns:
        ``(B, D)``.
    """
    return network.encoder(image)[-1].flatten(2).mean(dim=2)
