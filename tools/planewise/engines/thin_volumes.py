"""Work around wrong gradients on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class ExactThinVolumes(TorchFunctionMode):
    """On a CPU, use float32 for convolutions of volumes that are thinner than the kernel.

    In torch 2.13 (oneDNN), the bfloat16 weight gradient of such a convolution is wrong on CPUs with AVX-512 BF16. The
    code reads memory outside its arrays, so the gradient may be NaN, or finite but wrong, or the process may crash. This
    happens if the kernel is longer than the volume's first axis, as on the deepest level of an encoder whose grid has
    shrunk to 2 x 2 x 2. Such layers are small, so float32 costs next to nothing. All other functions are unchanged.

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
