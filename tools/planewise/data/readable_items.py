"""Inputs of a network, without unreadable ones."""

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
    """The items of a dataset in order, without those that its transforms refuse: the log names each of these, with its
    position among the inputs, and the others continue.

    Args:
        dataset: of items that have an ``image``.

    Raises:
        InputError: raised during iteration if its only item is refused, with that item's reason, or if all are, with
            the first one's reason.
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
        # a worker does not know about the others' items
        if refused and len(refused) == total:
            raise InputError(f"none of the {total} inputs can be read; the first: {refused[0]}")


def reason_alone(error: InputError, exam: str) -> str:
    """The part of an error message after the exam's name."""
    return str(error).rpartition(f"exam {exam}")[2].lstrip(",: ")


def left_out(said: Iterable[str]) -> dict[str, str]:
    """From a run's messages, the exams that `ReadableItems` left out, and why."""
    return dict(found.groups() for line in said if (found := _LEFT_OUT.fullmatch(line)))
