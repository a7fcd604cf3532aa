"""Means over targets of which some are not known, in one process or several."""

from __future__ import annotations

import ignite.distributed as idist
import torch
from torch import Tensor


def mean_over_known(total: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """``total / |K|`` with K the known targets (nothing known gives zero), and ``|K|``.

    `DistributedDataParallel` steps by the mean of the gradients of W processes. Their batches hold different numbers of
    known targets, so while training the divisor is ``sum_w |K_w| / W``: then the mean of the W losses, and of their
    gradients, is that of the one batch that they hold together.

    Args:
        total: sum over the known targets of this process, a scalar.
        known: which those are, any shape.
    """
    count = known.sum()
    # in validation the processes need not have equally many batches: no waiting for one another there
    if idist.get_world_size() == 1 or not torch.is_grad_enabled():
        return total / count.clamp_min(1), count
    count = torch.as_tensor(idist.all_reduce(count))
    return total * idist.get_world_size() / count.clamp_min(1), count
