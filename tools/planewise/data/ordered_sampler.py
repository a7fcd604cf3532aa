"""Sample each item once, for validation."""

from __future__ import annotations

from collections.abc import Iterator, Sized

from torch.utils.data import Sampler

from planewise.data.epoch_sampler import own_positions


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
