"""Sample the slices, the pairs of slices or the series of an epoch. The order depends only on the seed and the epoch, and
several processes share an epoch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sized
from typing import TYPE_CHECKING, Any, Literal

import ignite.distributed as idist
import torch
from torch.utils.data import Sampler

from planewise.data.datalist import rows_by_exam, rows_by_stack
from planewise.errors import InputError
from planewise.preprocessing.resample import evenly_spaced

if TYPE_CHECKING:
    from planewise.data.slice_dataset import SliceDataset
    from planewise.data.stack_dataset import StackDataset


def mixed_seed(seed: int, number: int) -> int:
    """A seed for one epoch or iteration of a run."""
    # a large odd multiplier keeps (seed, number) pairs apart
    return seed * 1_000_003 + number


def own_positions(length: int, even: bool) -> range:
    """The positions in an epoch's order that this process takes: of W processes, process r takes r, r + W, r + 2W, ...

    So the processes' batches of B items together contain the same items as one process's batch of W * B items.

    Args:
        length: positions in the epoch, over all processes.
        even: True gives every process the same number, as training requires, and drops the remainder at the end. False
            assigns every position once, as validation requires. If there are fewer positions than processes, every process
            takes all of them, so that averages stay the same and every process has a batch.

    Raises:
        InputError: a training epoch has fewer positions than there are processes.
    """
    rank, processes = idist.get_rank(), idist.get_world_size()
    if even:
        if 0 < length < processes:
            raise InputError(
                f"{length} samples are too few for {processes} processes; start fewer, or raise --samples_per_epoch"
            )
        length -= length % processes
    elif length < processes:
        return range(length)
    return range(rank, length, processes)


class EpochSampler(Sampler):
    """The base class of samplers that draw passes over the exams.

    Args:
        one_pass: number of samples in a pass.
        samples_per_epoch: length of an epoch, over all processes: passes are repeated, each with a new draw, or cut short,
            so that the number of training steps does not depend on the number of exams. None means one pass.
        seed: seed of the draws.
        even: see `own_positions`; True for training, False for validation.
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
        """Set the epoch for the next iterations; an epoch of the same number always has the same samples."""
        self.epoch = epoch

    def draw_pass(self, generator: torch.Generator) -> list[Any]:
        """The samples of one pass over the exams."""
        raise NotImplementedError

    def draw_epoch(self, generator: torch.Generator) -> list[Any]:
        """The samples of an epoch, over all processes, or more."""
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
    """Indices of all items in order, each once. Several processes divide them (`own_positions`); MONAI's `DistributedSampler`
    raises an error if there are fewer items than processes."""

    def __init__(self, dataset: Sized) -> None:
        self._items = len(dataset)

    def __len__(self) -> int:
        return len(own_positions(self._items, even=False))

    def __iter__(self) -> Iterator[int]:
        return iter(own_positions(self._items, even=False))


class ExamSampler(EpochSampler):
    """Indices of an epoch's slices: some of each exam, in random order.

    Args:
        dataset: the slices (or whole stacks, one per exam).
        samples_per_exam: slices (of any phase) drawn from each exam per epoch; ``"all"`` takes every slice.
        samples_per_epoch, seed, even: see `EpochSampler`; a sample is a slice.
    """

    def __init__(
        self,
        dataset: SliceDataset | StackDataset,
        samples_per_exam: int | Literal["all"] = 1,
        samples_per_epoch: int | None = None,
        seed: int = 0,
        even: bool = True,
    ) -> None:
        self._exams = [torch.tensor(indices) for indices in rows_by_exam(dataset.items).values()]
        self._per_exam = None if samples_per_exam == "all" else int(samples_per_exam)
        super().__init__(sum(len(indices[: self._per_exam]) for indices in self._exams), samples_per_epoch, seed, even)

    def draw_pass(self, generator: torch.Generator) -> list[int]:
        orders = [torch.randperm(len(indices), generator=generator)[: self._per_exam] for indices in self._exams]
        drawn = torch.cat([indices[order] for indices, order in zip(self._exams, orders, strict=True)])
        return drawn[torch.randperm(len(drawn), generator=generator)].tolist()


class PairSampler(EpochSampler):
    """Batches of pairs of different slices from one stack at one phase. This is a batch sampler: pass it to a
    DataLoader as ``batch_sampler``. A batch of B pairs is 2B indices, and the two indices of a pair are neighbours.

    The first slice is drawn from the exam, and the second from the other slices of the same stack, if there are any, so each
    of the two is equally likely to be nearer to the start of the stack.

    Args:
        dataset: the slices.
        batch_size: pairs in a batch.
        samples_per_exam: pairs drawn from each exam per epoch; ``"all"`` takes every slice once as the first of a pair.
        samples_per_epoch, seed, even: see `EpochSampler`; a sample is a pair.

    Raises:
        InputError: there are slices, but no two of them belong to the same stack and phase.
    """

    def __init__(
        self,
        dataset: SliceDataset,
        batch_size: int = 1,
        samples_per_exam: int | Literal["all"] = 1,
        samples_per_epoch: int | None = None,
        seed: int = 0,
        even: bool = True,
    ) -> None:
        stacks = rows_by_stack(dataset.items)
        #: maps each exam to its slices: for each slice, the indices of all slices of its stack, and its rank among them
        self._exams: dict[str, list[tuple[list[int], int]]] = defaultdict(list)
        for (exam, _, _), rows in stacks.items():
            if len(rows) > 1:
                self._exams[exam] += [(rows, rank) for rank in range(len(rows))]
        if stacks and not self._exams:
            raise InputError(
                f"no two of the {len(dataset.items)} slices are of one stack and phase; index stacks of two slices or more"
            )
        self._per_exam = None if samples_per_exam == "all" else int(samples_per_exam)
        one_pass = sum(len(places[: self._per_exam]) for places in self._exams.values())
        super().__init__(one_pass, samples_per_epoch, seed, even, int(batch_size))

    def draw_pass(self, generator: torch.Generator) -> list[tuple[int, int]]:
        drawn = [
            places[index]
            for places in self._exams.values()
            for index in torch.randperm(len(places), generator=generator)[: self._per_exam].tolist()
        ]
        draws = torch.rand(len(drawn), generator=generator).tolist()
        order = torch.randperm(len(drawn), generator=generator).tolist()
        # counted from the first one, wrapping round at the stack's end, so that each of the others is equally likely
        pairs = [
            (rows[rank], rows[(rank + 1 + int(draw * (len(rows) - 1))) % len(rows)])
            for (rows, rank), draw in zip(drawn, draws, strict=True)
        ]
        return [pairs[number] for number in order]


class SeriesSampler(EpochSampler):
    """Batches of slices, each of one or several whole series (Zhang 2024 section 5.3: "slices of a T2W series are used
    as a mini-batch"). This is a batch sampler: pass it to a DataLoader as ``batch_sampler``.

    Args:
        dataset: the slices.
        batch_size: series in a batch.
        max_slices: maximum number of slices of one series in a batch, drawn again in each epoch; None takes all slices.
        samples_per_epoch, seed, even: see `EpochSampler`; a sample is a series.
        shuffle: False, for validation, keeps the series in order, and takes evenly spaced slices of large ones.
    """

    def __init__(
        self,
        dataset: SliceDataset,
        batch_size: int = 1,
        max_slices: int | None = None,
        samples_per_epoch: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        even: bool = True,
    ) -> None:
        self._series = list(rows_by_exam(dataset.items).values())
        self._most = max_slices
        self._shuffle = shuffle
        super().__init__(len(self._series), samples_per_epoch, seed, even, batch_size)

    def draw_pass(self, generator: torch.Generator) -> list[int]:
        """The numbers of the series, in order."""
        count = len(self._series)
        return torch.randperm(count, generator=generator).tolist() if self._shuffle else list(range(count))

    def draw_epoch(self, generator: torch.Generator) -> list[list[int]]:
        # every process draws the slices of all series, so that each series has the same slices as in a single process
        order = super().draw_epoch(generator)[: self._length]
        return [self._slices(self._series[number], generator) for number in order]

    def _slices(self, series: list[int], generator: torch.Generator) -> list[int]:
        if not self._shuffle:
            return [series[rank] for rank in evenly_spaced(len(series), self._most)]
        if self._most is None or len(series) <= self._most:
            return series
        return [series[rank] for rank in torch.randperm(len(series), generator=generator)[: self._most].tolist()]
