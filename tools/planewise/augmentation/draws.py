"""Random numbers for the samples of a batch, the same however many processes share the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ignite.distributed as idist
import torch
from torch import Tensor


def own_draws(count: int, *shape: int, draw: Callable[..., Tensor] = torch.rand, **options: Any) -> Tensor:
    """Draw for each sample of this process's batch.

    Processes share a seed, and the samples of an epoch are dealt out to them in turns (`planewise.data.turns`). So each
    draws for the batches of all, and takes every other row of that (every third of three): a sample gets the numbers that
    it would get in one process with one large batch.

    Args:
        count: samples of this process's batch.
        shape: shape of what one sample gets.
        draw: `torch.rand`, `torch.randn`, or what else takes a shape. They draw from the global generator of their device,
            which the seed of the iteration decides (`planewise.engines.SeedHandler`).
        options: of ``draw``, say ``dtype`` and ``device``.

    Returns:
        ``(count, *shape)``.
    """
    rank, processes = idist.get_rank(), idist.get_world_size()
    return draw(processes * count, *shape, **options)[rank::processes]
