"""Iterate over the inputs of a network and leave out unreadable ones."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from monai.data import Dataset
from torch.utils.data import IterableDataset, get_worker_info

from planewise.errors import InputError, refusal
from planewise.files.names import common_name
from planewise.findings import Finding, finding
from planewise.preprocessing.exam_name import exam_of

logger = logging.getLogger(__name__)


class NoneReadable(InputError):
    """All inputs are refused; ``refused`` maps each exam to the reason."""

    def __init__(self, message: str, refused: Mapping[str, Finding]) -> None:
        super().__init__(message)
        self.refused = refused


class ReadableItems(IterableDataset):
    """The items of a dataset in order, without those that its transforms refuse.

    The log gives each refused item's exam, its position and the reason; of a person's own file, also the name of its results.

    Args:
        dataset: dataset whose items have an ``image``.

    Attributes:
        refused: maps each exam with a refused item to the reason; complete after an iteration in this process.

    Raises:
        NoneReadable: raised during iteration if all items are refused, with the reason for the first item.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.refused: dict[str, Finding] = {}

    def __iter__(self) -> Iterator[Any]:
        worker, total = get_worker_info(), len(self.dataset)
        places = range(total) if worker is None else range(worker.id, total, worker.num_workers)
        refused: list[InputError] = []
        self.refused = {}
        for place in places:
            try:
                item = self.dataset[place]
            except Exception as error:
                reason = refusal(error)
                if reason is None:
                    raise
                item = self.dataset.data[place]
                exam = exam_of(item)
                why = self.refused.setdefault(exam, reason_of(reason))
                if total > 1:
                    name = own_name(item)
                    logger.warning("exam %s%s is left out (%d of %d): %s", exam, name, place + 1, total, why)
                refused.append(reason)
            else:
                yield item
        # a worker cannot see whether the other workers' items were refused
        if refused and len(refused) == total:
            alone = f"none of the {total} inputs can be read; the first: " if total > 1 else ""
            raise NoneReadable(f"{alone}{refused[0]}", self.refused)


def own_name(item: Mapping[str, Any]) -> str:
    """The name of a person's own file, or of its case, in brackets; otherwise empty."""
    image = item.get("image", [])  # a diagnosis needs only masks
    files = image if isinstance(image, list) else [image]
    own = not item.get("exam") and all(isinstance(file, (str, Path)) for file in files)
    return f" ({common_name(files)})" if own else ""


def reason_of(error: InputError) -> Finding:
    """Why an exam cannot be used: the finding with which the error was raised, or its text as one."""
    if isinstance(error, NoneReadable):
        return next(iter(error.refused.values()))
    reason = getattr(error, "reason", error)
    return reason if isinstance(reason, Finding) else finding("exam-unusable", error=str(reason))
