"""Load whole batches from a dataset."""

from __future__ import annotations

from typing import Any

from torch.utils.data import DataLoader, Dataset

from planewise.data.ordered_sampler import OrderedSampler
from planewise.data.slice_dataset import as_batch


class BatchLoader(DataLoader):
    """PyTorch's ``DataLoader`` for datasets that return a whole batch at once (`as_batch`). It loads in this process.

    Args:
        dataset: the dataset.
        arguments: arguments of ``DataLoader``. Without a sampler, an epoch contains each item once, in order
            (`OrderedSampler`).
    """

    def __init__(self, dataset: Dataset, **arguments: Any) -> None:
        # compare with None, because an empty sampler is false in a Boolean test
        if all(arguments.get(name) is None for name in ("sampler", "batch_sampler", "shuffle")):
            arguments["sampler"] = OrderedSampler(dataset)
        super().__init__(dataset, **{"collate_fn": as_batch, **arguments})
