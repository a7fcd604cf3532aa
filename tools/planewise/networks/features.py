"""Compute the features of an image with an encoder."""

from __future__ import annotations

from torch import Tensor, nn


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
