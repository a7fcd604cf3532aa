"""Choose this process's items of an epoch, if several processes train or validate together."""

from __future__ import annotations

import ignite.distributed as idist

from planewise.errors import InputError


def own_positions(length: int, even: bool) -> range:
    """This process's positions in an epoch's order: of W processes, number r takes r, r + W, r + 2W, ...

    So batches of B in each process together contain the same items as a batch of W * B in one process.

    Args:
        length: positions in the epoch, over all processes.
        even: True gives every process the same number, as training requires: the remainder of the division by W is
            dropped from the end. False assigns every position once, as validation requires. If there are fewer
            positions than processes, every process takes all of them, so that averages stay the same and every process
            has a batch.

    Raises:
        InputError: a training epoch has fewer positions than there are processes.
    """
    rank, processes = idist.get_rank(), idist.get_world_size()
    if even:
        if 0 < length < processes:
            raise InputError(
                f"an epoch of {length} samples is too short for {processes} processes; start fewer (torchrun "
                "--nproc_per_node), or raise --samples_per_epoch"
            )
        length -= length % processes
    elif length < processes:
        return range(length)
    return range(rank, length, processes)
