"""Sample an epoch in an order that depends only on the seed and the epoch, and share it among processes."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import Any

import ignite.distributed as idist
import torch
from torch.utils.data import Sampler

from planewise.errors import InputError


def mixed_seed(seed: int, number: int) -> int:
    """A seed for one epoch or iteration of a run."""
    # a large odd multiplier keeps (seed, number) pairs apart
    return seed * 1_000_003 + number


def own_positions(length: int, even: bool) -> range:
    """The positions in an epoch's order that this process takes: of W processes, process r takes r, r + W, r + 2W, ...

    So the processes' batches of B items together contain the same items as one process's batch of W * B items.

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


class EpochSampler(Sampler):
    """The base class of samplers that draw passes over the exams.

    Args:
        one_pass: number of samples in a pass.
        samples_per_epoch: length of an epoch, over all processes. Passes over the exams are repeated, each with a new
            draw, or cut short, so that the number of training steps does not depend on the number of exams. None means
            one pass.
        seed: seed of the draws.
        even: True, for training, gives every process the same number and drops the remainder. False, for validation, keeps
            every sample, so some processes may get one sample more (`own_positions`).
        batch_size: number of samples in a batch, if each sample is a list of indices; None yields single indices.
    """

    def __init__(
        self, one_pass: int, samples_per_epoch: int | None, seed: int, even: bool, batch_size: int | None = None
    ) -> None:
        self._length = samples_per_epoch if samples_per_epoch and one_pass else one_pass
        self._even = even
        self._batch = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch for the next iterations. Different epochs have different samples, but an epoch of the same
        number always has the same ones.
        """
        self.epoch = epoch

    def draw_pass(self, generator: torch.Generator) -> list[Any]:
        """The samples of one pass over the exams."""
        raise NotImplementedError

    def draw_epoch(self, generator: torch.Generator) -> list[Any]:
        """The samples of an epoch, over all processes. The last pass may exceed the length of the epoch."""
        drawn: list[Any] = []
        while len(drawn) < self._length:
            drawn += self.draw_pass(generator)
        return drawn

    def __len__(self) -> int:
        return -(-len(own_positions(self._length, self._even)) // (self._batch or 1))

    def __iter__(self) -> Iterator[Any]:
        drawn = self.draw_epoch(torch.Generator().manual_seed(mixed_seed(self.seed, self.epoch)))
        own = [drawn[position] for position in own_positions(self._length, self._even)]
        if self._batch is None:
            return iter(own)
        starts = range(0, len(own), self._batch)
        return iter([[index for sample in own[start : start + self._batch] for index in sample] for start in starts])


class OrderedSampler(Sampler[int]):
    """Indices of all items in order, each once. Several processes divide them (`own_positions`).

    MONAI's `DistributedSampler` does the same, but raises an error if there are fewer items than processes.

    Args:
        dataset: a dataset with a length.
    """

    def __init__(self, dataset: Sized) -> None:
        self._items = len(dataset)

    def __len__(self) -> int:
        return len(own_positions(self._items, even=False))

    def __iter__(self) -> Iterator[int]:
        return iter(own_positions(self._items, even=False))
