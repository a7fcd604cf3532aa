"""Features of a network's encoder for a batch, instead of the network's own output."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from planewise.engines.autocast_inferer import AutocastInferer
from planewise.networks import encoder_features


class EncoderInferer(AutocastInferer):
    """Run a network's encoder on single images, if the network itself takes several at once.

    Called with images ``(B, C, i, j)`` and a network with an ``encoder``, it returns ``(B, D)`` (`encoder_features`).
    `FeatureInferer` returns the features of every slice of whole volumes.

    Args:
        amp: see `precision`.
    """

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> Tensor:
        return super().__call__(inputs, lambda image: encoder_features(network, image))
