"""Sample the slices of an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch.utils.data import Sampler

from planewise.data.datalist import rows_by_exam
from planewise.data.slice_dataset import SliceDataset
from planewise.data.stack_dataset import StackDataset
from planewise.data.turns import own_positions


def mixed_seed(seed: int, number: int) -> int:
    """A seed for one epoch or iteration of a run."""
    # a large odd multiplier keeps (seed, number) pairs apart
    return seed * 1_000_003 + number


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """A random generator that depends only on the seed and the epoch."""
    return torch.Generator().manual_seed(mixed_seed(seed, epoch))


class ExamSampler(Sampler[int]):
    """Indices of an epoch's slices: some of each exam, in a random order that depends only on the seed and the epoch.

    Several processes share this order and take turns (`own_positions`).

    Args:
        dataset: the slices (or whole stacks, one per exam).
        samples_per_exam: slices (of any phase) drawn from each exam per epoch; ``"all"`` takes every one.
        samples_per_epoch: length of an epoch, over all processes; passes over the exams are repeated (each with a new
            draw) or cut to fit. With it, the number of training steps does not depend on the number of exams. None
            means one pass.
        seed: seed of the draws.
        even: False distributes every slice, although some processes get one more: for validation.
    """

    def __init__(
        self,
        dataset: SliceDataset | StackDataset,
        samples_per_exam: int | Literal["all"] = 1,
        samples_per_epoch: int | None = None,
        seed: int = 0,
        even: bool = True,
    ) -> None:
        if samples_per_exam != "all" and int(samples_per_exam) < 1:
            raise ValueError(f"samples_per_exam must be a positive number or 'all', got {samples_per_exam!r}")
        self._exams = [torch.tensor(indices) for indices in rows_by_exam(dataset.items).values()]
        self._per_exam = None if samples_per_exam == "all" else int(samples_per_exam)
        one_pass = sum(self._taken(indices) for indices in self._exams)
        self._length = samples_per_epoch if samples_per_epoch and one_pass else one_pass
        self._even = even
        self.seed = seed
        self.epoch = 0

    def _taken(self, indices: torch.Tensor) -> int:
        return len(indices) if self._per_exam is None else min(self._per_exam, len(indices))

    def set_epoch(self, epoch: int) -> None:
        """Draw other slices from the next iteration on; the same epoch always draws the same."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(own_positions(self._length, self._even))

    def __iter__(self) -> Iterator[int]:
        generator = epoch_generator(self.seed, self.epoch)
        passes: list[torch.Tensor] = []
        while sum(map(len, passes)) < self._length:
            drawn = torch.cat(
                [
                    indices[torch.randperm(len(indices), generator=generator)[: self._taken(indices)]]
                    for indices in self._exams
                ]
            )
            passes.append(drawn[torch.randperm(len(drawn), generator=generator)])
        own = own_positions(self._length, self._even)
        return iter(torch.cat(passes)[own.start : own.stop : own.step].tolist() if passes else [])
