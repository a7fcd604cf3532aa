"""Inference of features of whole volumes."""

from __future__ import annotations

from typing import Any

from monai.data import MetaTensor
from torch import Tensor, nn

from planewise.engines.autocast_inferer import AutocastInferer
from planewise.networks import encoder_features


class VolumeFeatureInferer(AutocastInferer):
    """Run a network's encoder on volumes as wholes; the network's own head is left out.

    Called with volumes ``(B, C, i, j, k)`` and a network with an ``encoder`` for volumes, it returns ``(B, D, 1)``: one row
    of features for each (`encoder_features`), where `FeatureInferer` has one for each slice.

    Args:
        amp: see `precision`; float16 is left to MONAI's engine.
    """

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> Tensor:
        # a MetaTensor carries its metadata through every layer, which costs more than a small layer does
        volumes = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        return super().__call__(volumes, lambda image: encoder_features(network, image))[..., None]
