"""Inference on volumes, as wholes or in windows that slide over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer
from monai.utils import convert_to_dst_type
from torch import Tensor

from planewise.engines.autocast_inferer import AutocastInferer


class WindowInferer(AutocastInferer):
    """Run a network of volumes on the whole volume, or on windows that overlap by half and are averaged (MONAI's
    `SlidingWindowInferer`, its weights falling off from a window's middle).

    Args:
        window: side of the windows, voxels; None takes the volume whole.
        batch_size: windows that the network is given at once.
        amp: see `precision`; float16 is left to MONAI's engine.

    Called with volumes ``(B, C, i, j, k)``, it returns the network's output with the volumes' metadata.
    """

    def __init__(self, window: int | None = None, batch_size: int = 1, amp: bool | str | None = False) -> None:
        super().__init__(amp)
        self.sliding = None
        if window is not None:
            self.sliding = SlidingWindowInferer([int(window)] * 3, batch_size, overlap=0.5, mode="gaussian")

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        # a MetaTensor carries its metadata through every layer, which costs more than a small layer does
        volumes = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        run = super().__call__
        if self.sliding is None:
            output = run(volumes, network, *args, **kwargs)
        else:
            output = self.sliding(volumes, lambda window: run(window, network, *args, **kwargs))
        return convert_to_dst_type(output, inputs, dtype=output.dtype)[0]
