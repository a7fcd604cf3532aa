"""From the host to a GPU without waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: str | torch.device) -> Tensor:
    """A tensor on the device; the host goes on before the copy is through.

    From ordinary memory CUDA may wait for all that it was given before, so the tensor takes the way through pinned memory,
    which PyTorch keeps until the copy is done.
    """
    device = torch.device(device)
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
