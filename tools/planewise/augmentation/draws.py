"""Draw random numbers for the samples of a batch, independently of the number of processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ignite.distributed as idist
import torch
from torch import Tensor


def check_probabilities(**given: float) -> None:
    """Raise `ValueError` if a setting is not a probability."""
    for name, value in given.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must be a probability from 0 to 1, got {value}")


def own_draws(count: int, *shape: int, draw: Callable[..., Tensor] = torch.rand, **options: Any) -> Tensor:
    """Draw random numbers for each sample of this process's batch.

    Processes share a seed, and the samples of an epoch are assigned to them in turns (`planewise.data.samplers`).
    Each of N processes therefore draws the numbers for the batches of all processes and takes every N-th row, so that a
    sample gets the same numbers as in a single process with one large batch.

    Args:
        count: number of samples in this process's batch.
        shape: shape of one sample's numbers.
        draw: `torch.rand`, `torch.randn`, or another function that takes a shape. These functions draw from the global
            generator of the device, which is seeded in each iteration (`planewise.engines.SeedHandler`).
        options: options of ``draw``, such as ``dtype`` and ``device``.

    Returns:
        ``(count, *shape)``.
    """
    rank, processes = idist.get_rank(), idist.get_world_size()
    return draw(processes * count, *shape, **options)[rank::processes]
