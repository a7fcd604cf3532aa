"""Gather the rows of all processes in one tensor with gradients, for losses that compare the samples of a batch."""

from __future__ import annotations

from typing import Any

import ignite.distributed as idist
import torch
import torch.distributed as dist
from torch import Tensor


def gathered(rows: Tensor) -> Tensor:
    """Gather the rows of all processes for a step of training, in the order of the processes.

    Gradients flow back to the process that a row comes from. N processes therefore make the same step as one process with a
    batch that is N times larger, because `DistributedDataParallel` takes the mean of their gradients.

    Args:
        rows: ``(B, ...)``, of the same shape in every process.

    Returns:
        ``(W * B, ...)`` for W processes; in validation (without gradients), and with one process, the rows as they are.
    """
    return _Gathered.apply(rows) if torch.is_grad_enabled() and idist.get_world_size() > 1 else rows


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
