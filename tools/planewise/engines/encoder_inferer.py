"""Compute the features of a network's encoder for a batch, instead of the network's own output."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from planewise.engines.autocast_inferer import AutocastInferer
from planewise.networks import encoder_features


class EncoderInferer(AutocastInferer):
    """Run the encoder of a network on single images, although the network itself takes several images at once.

    Called with images ``(B, C, i, j)`` and a network with an ``encoder``, it returns features ``(B, D)``
    (`encoder_features`). For whole volumes, `FeatureInferer` returns the features of every slice.

    Args:
        amp: see `precision`.
    """

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> Tensor:
        return super().__call__(inputs, lambda image: encoder_features(network, image))
