"""Rows of all processes in one tensor, through which gradients flow back to each."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gathered(rows: Tensor) -> Tensor:
    """The rows of all processes, those of the first one first.

    What a process does with another's rows has a gradient there: each gets the sum of what all make of its own.

    Args:
        rows: ``(B, ...)``, of the same shape in every process.

    Returns:
        ``(W * B, ...)`` for W processes.
    """
    return _Gathered.apply(rows)


class _Gathered(torch.autograd.Function):
    """torch's own (`torch.distributed.nn.functional.all_gather`) is deprecated, and what is to replace it is private."""

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
