"""Sample whole series as mini-batches."""

from __future__ import annotations

import torch

from planewise.data.datalist import rows_by_exam
from planewise.data.epoch_sampler import EpochSampler
from planewise.data.slice_dataset import SliceDataset
from planewise.preprocessing.limit_slices import evenly_spaced


class SeriesSampler(EpochSampler):
    """Batches of slices, each of one or several whole series (Zhang 2024 section 5.3: "slices of a T2W series are used
    as a mini-batch"). This is a batch sampler: pass it to a DataLoader as ``batch_sampler``.

    The order of the series in an epoch and the selected slices of large series depend only on the seed and the epoch.
    Several processes divide the series (`own_positions`).

    Args:
        dataset: the slices.
        batch_size: series in a batch.
        max_slices: maximum number of slices of one series in a batch, so that large series fit into memory. The slices
            of larger series are drawn again in each epoch. None takes all slices.
        samples_per_epoch, seed, even: see `EpochSampler`; a sample is a series.
        shuffle: whether to draw at random. With False, for validation, the series stay in order, and large series contribute
            evenly spaced slices.
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
        if batch_size < 1 or (max_slices is not None and max_slices < 1):
            raise ValueError(f"batch_size and max_slices must be at least 1, got {batch_size} and {max_slices}")
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
