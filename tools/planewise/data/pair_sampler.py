"""Sample the pairs of slices of an epoch."""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import Literal

import torch

from planewise.data.datalist import rows_by_stack
from planewise.data.epoch_sampler import EpochSampler
from planewise.data.slice_dataset import SliceDataset
from planewise.errors import InputError

logger = logging.getLogger(__name__)


class PairSampler(EpochSampler):
    """Batches of pairs of different slices from one stack at one phase. This is a batch sampler: pass it to a
    DataLoader as ``batch_sampler``. A batch of B pairs is 2B indices, and the two indices of a pair are neighbours.

    The first slice is drawn from the exam, the second from the other slices of its stack, so that each of the two is
    equally often nearer to the start of the stack. The pairs depend only on the seed and the epoch. Several processes
    share this order and take turns by whole pairs (`own_positions`).

    Slices without another slice of their stack at their phase are in no pair; the log gives their number.

    Args:
        dataset: the slices.
        batch_size: pairs in a batch.
        samples_per_exam: pairs drawn from each exam per epoch; ``"all"`` takes every slice once as the first of a pair.
        samples_per_epoch: pairs in an epoch, over all processes; passes over the exams are repeated (each with a new
            draw) or cut to fit. None means one pass.
        seed: seed of the draws.
        even: False distributes every pair, although some processes get one more: for validation.

    Raises:
        InputError: there are slices, but no two slices of one stack at one phase.
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
        if batch_size < 1 or (samples_per_exam != "all" and int(samples_per_exam) < 1):
            raise ValueError(
                "batch_size must be a positive number and samples_per_exam a positive number or 'all', got "
                f"{batch_size!r} and {samples_per_exam!r}"
            )
        stacks = rows_by_stack(dataset.items)
        alone = sum(len(rows) == 1 for rows in stacks.values())
        #: for each exam, the positions of its slices: (slices of the stack, rank)
        self._exams: dict[str, list[tuple[list[int], int]]] = defaultdict(list)
        for (exam, _, _), rows in stacks.items():
            if len(rows) > 1:
                self._exams[exam] += [(rows, rank) for rank in range(len(rows))]
        if alone and not self._exams:
            raise InputError(
                f"none of the {len(dataset.items)} slices has another slice of its stack at its phase, so there are no "
                "pairs; stacks need at least two slices"
            )
        if alone:
            logger.warning(
                "%d of %d slices are in no pair: their stack has no other slice at their phase",
                alone,
                len(dataset.items),
            )
        self._per_exam = None if samples_per_exam == "all" else int(samples_per_exam)
        one_pass = sum(self._taken(len(places)) for places in self._exams.values())
        super().__init__(one_pass, samples_per_epoch, seed, even, int(batch_size))

    def _taken(self, slices: int) -> int:
        return slices if self._per_exam is None else min(self._per_exam, slices)

    def draw_pass(self, generator: torch.Generator) -> list[tuple[int, int]]:
        drawn = [
            places[index]
            for places in self._exams.values()
            for index in torch.randperm(len(places), generator=generator)[: self._taken(len(places))].tolist()
        ]
        draws = torch.rand(len(drawn), generator=generator).tolist()
        order = torch.randperm(len(drawn), generator=generator).tolist()
        # starting after the first slice and wrapping round, so that each of the others is equally likely
        pairs = [
            (rows[rank], rows[(rank + 1 + int(draw * (len(rows) - 1))) % len(rows)])
            for (rows, rank), draw in zip(drawn, draws, strict=True)
        ]
        return [pairs[number] for number in order]
