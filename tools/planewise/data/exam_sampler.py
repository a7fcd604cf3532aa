"""Which slices make an epoch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Literal

import torch
from torch.utils.data import Sampler

from planewise.data.slice_dataset import SliceDataset


class ExamSampler(Sampler[int]):
    """Indices of an epoch's slices: some of each exam, in random order, decided by the seed and the epoch alone.

    Args:
        dataset: the slices.
        samples_per_exam: slices (of any phase) drawn from each exam per epoch; ``"all"`` takes every one.
        samples_per_epoch: length of an epoch; passes over the exams are repeated (each drawn anew) or cut to fit. Keeps
            the number of training steps equal however few exams there are. None: one pass.
        seed: of the draws.
    """

    def __init__(
        self,
        dataset: SliceDataset,
        samples_per_exam: int | Literal["all"] = 1,
        samples_per_epoch: int | None = None,
        seed: int = 0,
    ) -> None:
        if samples_per_exam != "all" and int(samples_per_exam) < 1:
            raise ValueError(f"samples_per_exam is a positive number or 'all', not {samples_per_exam!r}")
        exams: dict[str, list[int]] = defaultdict(list)
        for index, item in enumerate(dataset.items):
            exams[item["exam"]].append(index)
        self._exams = [torch.tensor(indices) for indices in exams.values()]
        self._per_exam = None if samples_per_exam == "all" else int(samples_per_exam)
        one_pass = sum(self._taken(indices) for indices in self._exams)
        self._length = samples_per_epoch if samples_per_epoch and one_pass else one_pass
        self.seed = seed
        self.epoch = 0

    def _taken(self, indices: torch.Tensor) -> int:
        return len(indices) if self._per_exam is None else min(self._per_exam, len(indices))

    def set_epoch(self, epoch: int) -> None:
        """Draw other slices from the next iteration on; the same epoch always draws the same."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[int]:
        # a large odd multiplier keeps (seed, epoch) pairs apart
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        left = self._length
        while left > 0:
            drawn = torch.cat(
                [
                    indices[torch.randperm(len(indices), generator=generator)[: self._taken(indices)]]
                    for indices in self._exams
                ]
            )
            drawn = drawn[torch.randperm(len(drawn), generator=generator)][:left]
            left -= len(drawn)
            yield from drawn.tolist()
