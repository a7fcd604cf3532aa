"""A work-around of a processor's wrong gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class ExactThinVolumes(TorchFunctionMode):
    """Compute convolutions of volumes that are thinner than the kernel in float32, on a processor.

    torch 2.13's (oneDNN's) bfloat16 gradient of such a convolution's weights is wrong on processors with AVX-512 BF16: it is
    made of memory that is not its own, so that it may be NaN, or finite and wrong, or end the process. It happens where the
    kernel is longer than the volume's first axis, as on the deepest level of an encoder whose grid has shrunk to 2 x 2 x 2.
    Such layers are small, so that float32 costs next to nothing. Everything else goes through as it is.

    >>> with torch.autocast("cpu", dtype=torch.bfloat16), ExactThinVolumes():
    ...     output = network(volumes)
    """

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if function is torch.conv3d and args[0].shape[2] < args[1].shape[2]:
            with torch.autocast("cpu", enabled=False):
                image, *weights = (value.float() if isinstance(value, torch.Tensor) else value for value in args)
                return function(image, *weights, **kwargs)
        return function(*args, **kwargs)
