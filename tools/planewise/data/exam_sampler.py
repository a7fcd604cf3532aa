"""Sample the slices of an epoch."""

from __future__ import annotations

from typing import Literal

import torch

from planewise.data.datalist import rows_by_exam
from planewise.data.epoch_sampler import EpochSampler
from planewise.data.slice_dataset import SliceDataset
from planewise.data.stack_dataset import StackDataset


class ExamSampler(EpochSampler):
    """Indices of an epoch's slices: some of each exam, in a random order that depends only on the seed and the epoch.

    Several processes divide them (`own_positions`).

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
        if samples_per_exam != "all" and int(samples_per_exam) < 1:
            raise ValueError(f"samples_per_exam must be a positive number or 'all', got {samples_per_exam!r}")
        self._exams = [torch.tensor(indices) for indices in rows_by_exam(dataset.items).values()]
        self._per_exam = None if samples_per_exam == "all" else int(samples_per_exam)
        super().__init__(sum(len(indices[: self._per_exam]) for indices in self._exams), samples_per_epoch, seed, even)

    def draw_pass(self, generator: torch.Generator) -> list[int]:
        orders = [torch.randperm(len(indices), generator=generator)[: self._per_exam] for indices in self._exams]
        drawn = torch.cat([indices[order] for indices, order in zip(self._exams, orders, strict=True)])
        return drawn[torch.randperm(len(drawn), generator=generator)].tolist()
