"""Which items of an epoch are this process's, where several train or validate together."""

from __future__ import annotations

import ignite.distributed as idist

from planewise.errors import InputError


def own_positions(length: int, even: bool) -> range:
    """Positions in an epoch's order that are this process's: of W processes, number r takes r, r + W, r + 2W, ...

    So batches of B in each hold together what a batch of W * B holds in one process.

    Args:
        length: of the epoch, all processes together.
        even: True gives every process equally many, as training must: what W does not divide is cut off the end. False deals
            out everything, each position once, as validation must. Where there are fewer positions than processes, every
            process then takes all of them: that leaves means as they are, and no process without a batch.

    Raises:
        InputError: there are too few to train with so many processes.
    """
    rank, processes = idist.get_rank(), idist.get_world_size()
    if even:
        if 0 < length < processes:
            raise InputError(
                f"an epoch of {length} samples is too short for {processes} processes; start fewer (torchrun "
                f"--nproc_per_node), or give it more with --samples_per_epoch"
            )
        length -= length % processes
    elif length < processes:
        return range(length)
    return range(rank, length, processes)
