"""Means over targets, some of which are unknown, with one process or several."""

from __future__ import annotations

import ignite.distributed as idist
import torch
from torch import Tensor


def mean_over_known(total: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """``total / |K|`` with K the known targets (zero if none is known), and ``|K|``.

    `DistributedDataParallel` steps by the mean of the gradients of W processes. Their batches have different numbers of
    known targets, so in training the divisor is ``sum_w |K_w| / W``: then the mean of the W losses equals the loss of
    the whole batch, and so do the gradients.

    Args:
        total: sum over the known targets of this process, a scalar.
        known: the known targets, any shape.
    """
    count = known.sum()
    # in validation the processes may have different numbers of batches, so they must not wait for each other
    if idist.get_world_size() == 1 or not torch.is_grad_enabled():
        return total / count.clamp_min(1), count
    count = torch.as_tensor(idist.all_reduce(count))
    return total * idist.get_world_size() / count.clamp_min(1), count
