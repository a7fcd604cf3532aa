"""Copy tensors from the host to a GPU without waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor

#: Kinds of device that copy from pinned memory while the host continues.
PINNED = ("cuda",)


def to_device(tensor: Tensor, device: str | torch.device) -> Tensor:
    """Copy a tensor to the device without waiting for the copy to finish.

    A copy from ordinary memory may wait for all earlier CUDA work, so the tensor goes through pinned memory,
    which PyTorch keeps until the copy is done.
    """
    device = torch.device(device)
    if device.type in PINNED and tensor.device.type == "cpu":
        # PyTorch pins into memory with the same strides, and cannot write if elements share memory (`expand`)
        tensor = tensor.contiguous().pin_memory()
    return tensor.to(device, non_blocking=True)
