"""Iterate over the inputs of a network and leave out unreadable ones."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from monai.data import Dataset
from torch.utils.data import IterableDataset, get_worker_info

from planewise.errors import InputError, refusal
from planewise.exams.volume import common_name
from planewise.preprocessing.exam_name import exam_of

logger = logging.getLogger(__name__)

_LEFT_OUT = re.compile(r"exam (\S+)(?: \(.*?\))? is left out \(\d+ of \d+\): (.*)")


class ReadableItems(IterableDataset):
    """The items of a dataset in order, without those that its transforms refuse.

    The log gives each refused item's exam, its position among the inputs, and the reason. A person's own file, which has no
    ``exam``, is also given by the name that its results would have.

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
                item = self.dataset.data[place]
                exam, name = exam_of(item), own_name(item)
                why = reason_alone(reason, exam)
                logger.warning("exam %s%s is left out (%d of %d): %s", exam, name, place + 1, total, why)
                refused.append(reason)
            else:
                yield item
        # a worker cannot see whether the other workers' items were refused
        if refused and len(refused) == total:
            raise InputError(f"none of the {total} inputs can be read; the first: {refused[0]}")


def own_name(item: Mapping[str, Any]) -> str:
    """The name of a person's own file, or of its case, in brackets; otherwise empty."""
    image = item.get("image", [])  # a diagnosis needs only masks
    files = image if isinstance(image, list) else [image]
    own = not item.get("exam") and all(isinstance(file, (str, Path)) for file in files)
    return f" ({common_name(files)})" if own else ""


def reason_alone(error: InputError, exam: str) -> str:
    """An error message without the exam's name and the text before it, and without the hash of one channel's file."""
    return re.split(r"exam [0-9a-f]{10}[,:] ", str(error).rpartition(f"exam {exam}")[2])[-1].lstrip(",: ")


def left_out(said: Iterable[str]) -> dict[str, str]:
    """Map each exam that `ReadableItems` left out to the reason, from the messages of a run."""
    return dict(found.groups() for line in said if (found := _LEFT_OUT.fullmatch(line)))
