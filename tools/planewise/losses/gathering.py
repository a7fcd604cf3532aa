"""Gather the rows of all processes in one tensor, with gradients that flow back to each process."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gathered(rows: Tensor) -> Tensor:
    """The rows of all processes, in the order of the processes.

    If a process uses the rows of another, gradients flow back there: each process gets the sum of all processes'
    gradients for its own rows.

    Args:
        rows: ``(B, ...)``, of the same shape in every process.

    Returns:
        ``(W * B, ...)`` for W processes.
    """
    return _Gathered.apply(rows)


class _Gathered(torch.autograd.Function):
    """Gather with gradients: `torch.distributed.nn.functional.all_gather` is deprecated, its replacement private."""

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
