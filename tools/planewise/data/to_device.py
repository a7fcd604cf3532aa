"""Copy tensors to a GPU without waiting for it, and keep arrays where a training step reads them fastest."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

#: Types of device that can copy from pinned memory while the host continues.
PINNED = ("cuda",)
#: Share of a GPU's free memory that the arrays may take; the rest is for the network.
SHARE = 0.5


def to_device(tensor: Tensor, device: str | torch.device) -> Tensor:
    """Copy a tensor to the device without waiting for the copy to finish. A copy from ordinary memory may wait for all
    earlier CUDA work, so it goes through pinned memory, which PyTorch keeps until the copy is complete."""
    device = torch.device(device)
    if device.type in PINNED and tensor.device.type == "cpu":
        # pinned memory gets the same strides, which fails if elements share memory (as after `expand`)
        tensor = tensor.contiguous().pin_memory()
    return tensor.to(device, non_blocking=True)


class DeviceArrays:
    """Batched access to rows of several arrays, on a device.

    On the CPU, memory-mapped arrays are read when rows are requested, so they may be larger than the memory. If the arrays
    take at most half of a CUDA device's free memory (`SHARE`), they move to the device once; otherwise they stay in place,
    and the rows of a batch pass through pinned memory. The host never waits for the device.

    Half-precision images and byte masks are returned as float32, other arrays unchanged.

    Args:
        arrays: maps names to arrays with the same number of rows, on the CPU.
        device: device for the batches; None is the CPU. For a device that is neither the CPU nor CUDA, the batches are
            on the CPU, and the engine moves them.
    """

    def __init__(self, arrays: Mapping[str, Tensor], device: str | torch.device | None = None) -> None:
        wanted = torch.device(device or "cpu")
        self.device = wanted if wanted.type == "cuda" else torch.device("cpu")
        self.resident = True
        if self.device.type == "cuda":
            size = sum(array.numel() * array.element_size() for array in arrays.values()) / 2**30
            free = torch.cuda.mem_get_info(self.device)[0] / 2**30
            self.resident = size <= SHARE * free
            where = "kept on" if self.resident else "read from the disk when needed, because they are too large for"
            said = "preprocessed images (%.2f GiB, and %.2f GiB are free) are %s %s"
            logger.info(said, size, free, where, self.device)
        moved = self.resident and self.device.type != "cpu"
        self._arrays = {name: array.to(self.device) if moved else array for name, array in arrays.items()}

    def rows(self, index: Tensor) -> dict[str, Tensor]:
        """The rows of a batch.

        Args:
            index: int64, shape ``(B,)``, on the CPU.
        """
        index = to_device(index, self.device) if self.resident else index
        batch = {name: self._gathered(array, index) for name, array in self._arrays.items()}
        halves = (torch.float16, torch.uint8)
        return {name: rows.to(torch.float32) if rows.dtype in halves else rows for name, rows in batch.items()}

    def _gathered(self, array: Tensor, index: Tensor) -> Tensor:
        if self.resident:
            return array.index_select(0, index)
        pinned = torch.empty((len(index), *array.shape[1:]), dtype=array.dtype, pin_memory=True)
        return torch.index_select(array, 0, index, out=pinned).to(self.device, non_blocking=True)
