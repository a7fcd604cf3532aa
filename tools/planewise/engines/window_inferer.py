"""Run a network on whole volumes, on sliding windows, or on slices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from einops import rearrange
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer
from monai.utils import convert_to_dst_type
from torch import Tensor

from planewise.engines.autocast_inferer import AutocastInferer


class WindowInferer(AutocastInferer):
    """Run a network on whole volumes or on windows of them.

    Windows overlap by half, and their predictions are averaged with weights that decrease from the middle of a window
    (MONAI's `SlidingWindowInferer`). A network for images runs on the slices along the volumes' third axis, on whole
    slices or on windows of them. Called with volumes ``(B, C, i, j, k)``, the inferer returns the network's output with
    the metadata of the volumes.

    Args:
        window: side of the windows, voxels; None uses whole volumes.
        batch_size: number of windows or slices per call of the network.
        amp: see `precision`; MONAI's engine handles float16.
        spatial_dims: 3 for a network for volumes, 2 for a network for images.
    """

    def __init__(
        self,
        window: int | None = None,
        batch_size: int = 1,
        amp: bool | str | None = False,
        spatial_dims: int = 3,
    ) -> None:
        super().__init__(amp)
        self.batch_size, self.spatial_dims = int(batch_size), int(spatial_dims)
        self.sliding = None
        if window is not None:
            self.sliding = SlidingWindowInferer([int(window)] * spatial_dims, batch_size, overlap=0.5, mode="gaussian")

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        # a MetaTensor carries its metadata through every layer, which costs more than a small layer
        volumes = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        call = super().__call__

        def run(images: Tensor) -> Tensor:
            if self.sliding is None:
                return call(images, network, *args, **kwargs)
            return self.sliding(images, lambda window: call(window, network, *args, **kwargs))

        if self.spatial_dims == 2:
            slices = rearrange(volumes, "b c i j k -> (b k) c i j").split(self.batch_size)
            predicted = torch.cat([run(part) for part in slices])
            output = rearrange(predicted, "(b k) c i j -> b c i j k", b=len(volumes))
        else:
            output = run(volumes)
        return convert_to_dst_type(output, inputs, dtype=output.dtype)[0]
