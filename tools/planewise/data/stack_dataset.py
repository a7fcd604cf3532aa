"""Batches of whole stacks."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from planewise.data.datalist import rows_by_exam
from planewise.data.slice_dataset import SliceDataset
from planewise.data.to_device import to_device
from planewise.errors import InputError
from planewise.preprocessing.limit_slices import evenly_spaced

logger = logging.getLogger(__name__)


class StackDataset(Dataset):
    """The preprocessed slices of an exam as one sample, with the exam's labels.

    A batch is a dictionary of tensors: ``image`` ``(B, S, i, j)`` float32, with shorter stacks padded to S slices with
    zeros; ``mask`` ``(B, S)``, true for real slices; ``image_padding`` ``(B, S)``; ``label`` ``(B, tasks)`` float32,
    NaN for a label that an exam lacks; and ``index`` ``(B,)`` into `items`.

    Exams that have none of the labels are left out and counted in the log. If no labels are requested, all exams are
    kept.

    Args:
        data: items of a datalist, slices or whole volumes.
        transform: deterministic MONAI transforms from a slice's item to tensors; see `SliceDataset`.
        tasks: keys of the labels, which must be 0 or 1; empty for stacks that need no labels.
        max_slices: maximum number of slices of a stack; they are evenly spaced from its first slice to its last. None
            takes all slices.
        required: whether it is an error if no exam has a label, as in training.
        device: device for the batches; see `SliceDataset`.
        cache_dir, num_workers, progress: see `SliceCache`.

    Raises:
        InputError: a label is neither 0 nor 1, no exam has a label and ``required`` is true, or the slices have several
            channels.
    """

    def __init__(
        self,
        data: Sequence[dict[str, Any]],
        transform: Callable[[dict[str, Any]], dict[str, Any]],
        tasks: Sequence[str],
        *,
        max_slices: int | None = None,
        required: bool = False,
        cache_dir: str | Path | None = None,
        device: str | torch.device | None = None,
        num_workers: int | None = None,
        progress: bool = True,
    ) -> None:
        self.data = data
        self.transform = transform
        self.tasks = tuple(tasks)
        self.slices = SliceDataset(
            data,
            transform,
            cache_dir=cache_dir,
            device=device,
            label_keys=(),
            num_workers=num_workers,
            progress=progress,
        )
        if len(self.slices) and (channels := len(self.slices[0]["image"])) != 1:
            raise InputError(f"the slices have {channels} channels after preprocessing; they must have one")
        stacks = rows_by_exam(self.slices.items)
        labels = {exam: self._labels(self.slices.items[rows[0]]) for exam, rows in stacks.items()}
        labelled = [exam for exam, values in labels.items() if not values or any(map(math.isfinite, values))]
        if len(labelled) < len(stacks):
            what = (
                f"{len(stacks) - len(labelled)} of {len(stacks)} exams have none of the labels {', '.join(self.tasks)}"
            )
            if required and not labelled:
                raise InputError(
                    f"{what}; add labels with `planewise index --classes FILE.csv`, or name other labels with --tasks"
                )
            logger.warning("%s and are left out", what)
        self.items = [{"exam": exam, **dict(zip(self.tasks, labels[exam], strict=True))} for exam in labelled]
        self._rows = []
        for exam in labelled:
            rows = sorted(stacks[exam], key=lambda row: self.slices.items[row].get("slice", row))
            self._rows.append([rows[rank] for rank in evenly_spaced(len(rows), max_slices)])
        #: ``(exams, tasks)``, NaN where unknown; on the CPU
        self.labels = torch.tensor([labels[exam] for exam in labelled]).reshape(len(labelled), len(self.tasks))

    def _labels(self, item: dict[str, Any]) -> list[float]:
        values = []
        for task in self.tasks:
            value = item.get(task, math.nan)
            if value not in (0, 1) and not (isinstance(value, float) and math.isnan(value)):
                raise InputError(f"exam {item['exam']}: {task} is {value!r}; a label must be 0, 1 or absent")
            values.append(float(value))
        return values

    def __len__(self) -> int:
        return len(self.items)

    def __getitems__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        batch = padded_stacks(self.slices, [self._rows[index] for index in indices])
        index = torch.as_tensor(indices, dtype=torch.long)
        label, index = (to_device(values, batch["image"].device) for values in (self.labels[index], index))
        return batch | {"label": label, "index": index}


def padded_stacks(
    slices: SliceDataset, rows: Sequence[Sequence[int]], names: Sequence[str] = ("image", "image_padding")
) -> dict[str, torch.Tensor]:
    """The slices of stacks, ``(stacks, S, ...)``, padded with zeros, and ``mask`` ``(stacks, S)``, true for real slices.

    Args:
        slices: the slices, of one channel.
        rows: the indices of each stack's slices.
        names: the wanted keys of the slices' batch.
    """
    found = slices.__getitems__([row for stack in rows for row in stack])
    depth = max(map(len, rows))
    batch = {name: found["image"].new_zeros(len(rows), depth, *found[name].shape[2:]) for name in names}
    mask = found["image"].new_zeros(len(rows), depth, dtype=torch.bool)
    start = 0
    for number, stack in enumerate(rows):
        end = start + len(stack)
        for name, values in batch.items():
            values[number, : len(stack)] = found[name][start:end, 0]
        mask[number, : len(stack)] = True
        start = end
    return batch | {"mask": mask}
