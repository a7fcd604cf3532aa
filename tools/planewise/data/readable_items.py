"""Iterate over the inputs of a network and leave out unreadable ones."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from typing import Any

from monai.data import Dataset
from torch.utils.data import IterableDataset, get_worker_info

from planewise.errors import InputError, refusal
from planewise.preprocessing.exam_name import exam_of

logger = logging.getLogger(__name__)

_LEFT_OUT = re.compile(r"exam (\S+) is left out \(\d+ of \d+\): (.*)")


class ReadableItems(IterableDataset):
    """The items of a dataset in order, without those that its transforms refuse.

    The log gives each refused item's exam, its position among the inputs, and the reason.

    Args:
        dataset: dataset whose items have an ``image``.

    Raises:
        InputError: raised during iteration if all items are refused, with the reason for the first item.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __iter__(self) -> Iterator[Any]:
        worker, total = get_worker_info(), len(self.dataset)
        places = range(total) if worker is None else range(worker.id, total, worker.num_workers)
        refused: list[InputError] = []
        for place in places:
            try:
                item = self.dataset[place]
            except Exception as error:
                reason = refusal(error)
                if reason is None or total == 1:
                    raise
                exam = exam_of(self.dataset.data[place])
                logger.warning("exam %s is left out (%d of %d): %s", exam, place + 1, total, reason_alone(reason, exam))
                refused.append(reason)
            else:
                yield item
        # a worker cannot see whether the other workers' items were refused
        if refused and len(refused) == total:
            raise InputError(f"none of the {total} inputs can be read; the first: {refused[0]}")


def reason_alone(error: InputError, exam: str) -> str:
    """An error message without the exam's name and the text before it."""
    return str(error).rpartition(f"exam {exam}")[2].lstrip(",: ")


def left_out(said: Iterable[str]) -> dict[str, str]:
    """Map each exam that `ReadableItems` left out to the reason, from the messages of a run."""
    return dict(found.groups() for line in said if (found := _LEFT_OUT.fullmatch(line)))
