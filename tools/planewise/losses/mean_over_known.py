"""Compute means over the known targets of one or several processes."""

from __future__ import annotations

import ignite.distributed as idist
import torch
from torch import Tensor


def mean_over_known(total: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """The mean ``total / |K|`` over the known targets K (0 if none is known), and their number ``|K|``.

    `DistributedDataParallel` averages the gradients of W processes, but their batches have different numbers of known
    targets. In training, the divisor is therefore ``sum_w |K_w| / W``. With this divisor, the mean of the W losses equals
    the loss of the whole batch, and the mean of their gradients equals its gradient.

    Args:
        total: sum over the known targets of this process, a scalar.
        known: whether each target is known, bool, any shape.
    """
    count = known.sum()
    # in validation, the processes may have different numbers of batches, so they must not wait for each other
    if idist.get_world_size() == 1 or not torch.is_grad_enabled():
        return total / count.clamp_min(1), count
    count = torch.as_tensor(idist.all_reduce(count))
    return total * idist.get_world_size() / count.clamp_min(1), count
