"""Parts of a network that are computed in float32 in every precision."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

#: Sides of a volume within which a processor's weight gradients are not trusted in bfloat16.
_SMALL = 4


def without_autocast(device: torch.device) -> AbstractContextManager:
    """Autocast switched off, on a device that has it."""
    has_it = torch.amp.is_autocast_available(device.type)
    return torch.autocast(device.type, enabled=False) if has_it else nullcontext()


def run_level(level: Callable[..., Tensor], *given: Tensor) -> Tensor:
    """Run a block of a network, and do it in float32 where a processor would learn garbage in bfloat16.

    torch 2.13 on processors with AVX512-BF16 leaves the weight gradient of a 3D convolution (kernel 3, padding 1) as memory
    happened to be when the first side of the volume is 2, or when one side is 1 and the stride 2: NaN, 1e35, or unnoticed.
    Volumes that small cost next to nothing.

    Args:
        level: the block.
        given: its input, ``(B, C, H, W)`` or ``(B, C, H, W, D)``, the coarsest first.
    """
    coarsest = given[0]
    if coarsest.device.type == "cpu" and coarsest.ndim == 5 and min(coarsest.shape[2:]) <= _SMALL:
        with without_autocast(coarsest.device):
            return level(*(each.float() for each in given))
    return level(*given)
