"""Gather the rows of all processes in one tensor, through which gradients flow back to each process."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gathered(rows: Tensor) -> Tensor:
    """Gather the rows of all processes, in the order of the processes.

    Gradients flow back to the process that a row comes from: for its own rows, each process gets the sum of the
    gradients of all processes.

    Args:
        rows: ``(B, ...)``, of the same shape in every process.

    Returns:
        ``(W * B, ...)`` for W processes.
    """
    return _Gathered.apply(rows)


class _Gathered(torch.autograd.Function):
    """Gather with gradients. `torch.distributed.nn.functional.all_gather` is deprecated, and its replacement is private."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        everyone = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(everyone, rows.contiguous())
        return torch.cat(everyone)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        dist.all_reduce(gradient)
        return gradient.chunk(dist.get_world_size())[dist.get_rank()]
