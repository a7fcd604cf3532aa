"""Compute features by running an encoder on whole volumes or on their slices."""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from monai.data import MetaTensor
from torch import Tensor, nn

from planewise.engines.autocast_inferer import AutocastInferer
from planewise.networks import encoder_features


class FeatureInferer(AutocastInferer):
    """Run the encoder of a network on volumes, or on batches of their slices; the network's own head is not used.

    Called with volumes ``(B, C, i, j, k)`` and a network with an ``encoder``, it returns the features of each slice,
    ``(B, D, k)`` (`encoder_features`). If the network takes volumes, or the inputs are images ``(B, C, i, j)``, it
    returns ``(B, D, 1)``.

    Args:
        batch_size: number of slices per call of the encoder.
        amp: see `precision`; MONAI's engine handles float16.
        spatial_dims: 2 for a network for slices, 3 for a network for volumes.
    """

    def __init__(self, batch_size: int = 20, amp: bool | str | None = False, spatial_dims: int = 2) -> None:
        super().__init__(amp)
        self.batch_size = batch_size
        self.spatial_dims = spatial_dims

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> Tensor:
        # a MetaTensor carries its metadata through every layer, which costs more than a small layer
        volumes = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        run = super().__call__
        if self.spatial_dims == 3 or volumes.ndim == 4:
            return run(volumes, lambda image: encoder_features(network, image))[..., None]
        slices = rearrange(volumes, "b c i j k -> (b k) c i j")
        rows = [run(batch, lambda image: encoder_features(network, image)) for batch in slices.split(self.batch_size)]
        return rearrange(torch.cat(rows), "(b k) d -> b d k", b=len(volumes))
