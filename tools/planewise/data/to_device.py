"""Copy tensors from the host to a GPU without waiting for the GPU."""

from __future__ import annotations

import torch
from torch import Tensor

#: Types of device that can copy from pinned memory while the host continues.
PINNED = ("cuda",)


def to_device(tensor: Tensor, device: str | torch.device) -> Tensor:
    """Copy a tensor to the device without waiting for the copy to finish.

    A copy from ordinary memory may wait for all earlier CUDA work. The tensor therefore goes through pinned memory,
    which PyTorch keeps until the copy is complete.
    """
    device = torch.device(device)
    if device.type in PINNED and tensor.device.type == "cpu":
        # pinned memory gets the same strides, which fails if elements share memory (as after `expand`)
        tensor = tensor.contiguous().pin_memory()
    return tensor.to(device, non_blocking=True)
