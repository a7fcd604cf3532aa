"""Batches of whole stacks, and of hearts at end-diastole and end-systole."""

from __future__ import annotations

import logging
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from einops import rearrange
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from planewise.data.datalist import expand_volumes, rows_by_exam
from planewise.data.slice_dataset import SliceDataset
from planewise.data.to_device import to_device
from planewise.errors import InputError
from planewise.preprocessing.exam_name import exam_of
from planewise.preprocessing.resample import evenly_spaced

logger = logging.getLogger(__name__)

PHASES = ("ED", "ES")
#: The label of an exam with an unknown class.
UNKNOWN = -1


class StackDataset(Dataset):
    """The preprocessed slices of an exam as one sample, with the exam's labels.

    A batch is a dictionary of tensors: ``image`` ``(B, S, i, j)`` float32, with shorter stacks padded to S slices with
    zeros; ``mask`` ``(B, S)``, true for real slices; ``image_padding`` ``(B, S)``; ``label`` ``(B, tasks)`` float32,
    NaN for a label that an exam lacks; and ``index`` ``(B,)`` into `items`.

    Exams that have none of the labels are left out and counted in the log, unless no labels are requested.

    Args:
        data: items of a datalist, slices or whole volumes.
        transform: deterministic MONAI transforms from a slice's item to tensors; see `SliceDataset`.
        tasks: keys of the labels, which must be 0 or 1; empty for stacks that need no labels.
        max_slices: maximum number of slices of a stack, evenly spaced from its first slice to its last; None takes all.
        required: whether it is an error if no exam has a label, as in training.
        options: ``cache_dir``, ``device``, ``num_workers`` and ``progress`` of `SliceDataset`.

    Raises:
        InputError: a label is neither 0 nor 1, no exam has one and ``required`` is true, or slices have several channels.
    """

    #: Number of stacks per exam, which are concatenated along the slices of ``image``.
    phases = 1

    def __init__(
        self,
        data: Sequence[dict[str, Any]],
        transform: Callable[[dict[str, Any]], dict[str, Any]],
        tasks: Sequence[str],
        *,
        max_slices: int | None = None,
        required: bool = False,
        **options: Any,
    ) -> None:
        self.data = data
        self.transform = transform
        self.tasks = tuple(tasks)
        self.slices = SliceDataset(data, transform, label_keys=(), **options)
        if len(self.slices) and (channels := len(self.slices[0]["image"])) != 1:
            raise InputError(f"the slices have {channels} channels after preprocessing; they must have one")
        stacks = rows_by_exam(self.slices.items)
        labels = {exam: self._labels(self.slices.items[rows[0]]) for exam, rows in stacks.items()}
        labelled = [exam for exam, values in labels.items() if not values or any(map(math.isfinite, values))]
        if lacking := len(stacks) - len(labelled):
            what = f"{lacking} of {len(stacks)} exams have none of the labels {', '.join(self.tasks)}"
            if required and not labelled:
                raise InputError(
                    f"{what}; add labels with `planewise index --classes FILE.csv`, or name other labels with --tasks"
                )
            logger.warning("%s and are left out", what)
        self.items = [{"exam": exam, **dict(zip(self.tasks, labels[exam], strict=True))} for exam in labelled]
        #: the indices of the slices of each exam's stacks
        self._rows: list[list[list[int]]] = []
        for exam in labelled:
            rows = sorted(stacks[exam], key=lambda row: self.slices.items[row].get("slice", row))
            self._rows.append([[rows[rank] for rank in evenly_spaced(len(rows), max_slices)]])
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
        stacks = [stack for index in indices for stack in self._rows[index]]
        found, counts = self.slices.__getitems__([row for stack in stacks for row in stack]), [*map(len, stacks)]
        batch = {}
        for name in ("image", "image_padding"):
            padded = pad_sequence(list(found[name][:, 0].split(counts)), batch_first=True)
            batch[name] = rearrange(padded, "(b phase) s ... -> b (phase s) ...", phase=self.phases)
        # all stacks of an exam have the same slices
        mask = torch.arange(max(counts)) < torch.tensor(counts[:: self.phases])[:, None]
        index = torch.as_tensor(indices, dtype=torch.long)
        more = {"mask": mask, "label": self.labels[index], "index": index}
        return batch | {name: to_device(values, found["image"].device) for name, values in more.items()}


def slices_between(count: int, first: float, last: float) -> list[int]:
    """The ranks of the slices of a stack whose centres lie between two heights, as shares of the stack's height, 0 to
    1; or of the one nearest to their middle. From 1/3 to 2/3 is the middle third, whichever end of the stack is the
    base; if the stack covers the ventricles, it is mid-ventricular."""
    middles = [(rank + 0.5) / count for rank in range(count)]
    # a tolerance, because floating-point numbers cannot represent a third exactly
    chosen = [rank for rank, middle in enumerate(middles) if first - 1e-9 <= middle <= last + 1e-9]
    return chosen or [min(range(count), key=lambda rank: abs(middles[rank] - (first + last) / 2))]


class TwoPhaseDataset(StackDataset):
    """One sample per exam: its preprocessed slices at end-diastole and end-systole, and its class.

    A batch is that of a `StackDataset`, but ``image`` ``(B, 2 S, i, j)`` and ``image_padding`` ``(B, 2 S)`` have the slices
    at end-diastole, then those at end-systole; ``label`` ``(B,)``, int64, is the class, or `UNKNOWN`.

    An exam without a class, a phase, or equal numbers of slices at both phases is left out and counted in the log.

    Args:
        data: items of a datalist, whole volumes with ``phase`` ED or ES.
        transform: deterministic MONAI transforms from a slice's item to tensors; see `SliceDataset`.
        classes: names of the classes, in order.
        class_key: key of the items' class.
        slices: the two heights between which slices are used, as shares of the stack's height (`slices_between`).
        labelled: False keeps exams without a class.
        required: whether it is an error if no exam is left.
        num_exams: maximum number of usable exams; None takes all.
        options: ``cache_dir``, ``device``, ``num_workers`` and ``progress`` of `SliceDataset`.

    Raises:
        InputError: an exam's class is not one of ``classes``, or no exam is left and ``required`` is true.
    """

    phases = 2

    def __init__(
        self,
        data: Sequence[dict[str, Any]],
        transform: Callable[[dict[str, Any]], dict[str, Any]],
        classes: Sequence[str],
        class_key: str = "group",
        *,
        slices: Sequence[float] = (1 / 3, 2 / 3),
        labelled: bool = True,
        required: bool = False,
        num_exams: int | None = None,
        **options: Any,
    ) -> None:
        self.data = data
        self.transform = transform
        self.classes = tuple(str(name) for name in classes)
        first, last = (float(share) for share in slices)
        if not 0 <= first <= last <= 1:
            raise InputError(
                f"slices must be two increasing shares of the stack's height, such as [0, 1] for all, got {[first, last]}"
            )
        by_exam: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        for item in data:
            exam, phase = exam_of(item), str(item.get("phase", "")).upper()
            by_exam[exam].setdefault(phase, {**item, "exam": exam, "phase": phase})
        problems: Counter[str] = Counter()
        ranks: dict[str, list[int]] = {}
        wanted: list[dict[str, Any]] = []
        for exam, pair in by_exam.items():
            cut = [expand_volumes([pair[phase]]) for phase in PHASES if phase in pair]
            if len(cut) < 2:
                problems["no volume at both ED and ES"] += 1
            elif labelled and class_key not in pair["ED"]:
                problems[f"no class ({class_key})"] += 1
            elif len(cut[0]) != len(cut[1]):
                problems["different numbers of slices at the two phases"] += 1
            elif num_exams is None or len(ranks) < num_exams:
                ranks[exam] = slices_between(len(cut[0]), first, last)
                wanted += [slices[rank] | {"slice": rank} for slices in cut for rank in ranks[exam]]
        self.slices = SliceDataset(wanted, transform, label_keys=(), **options)
        rows = {(item["exam"], item["phase"], item["slice"]): row for row, item in enumerate(self.slices.items)}
        self.items: list[dict[str, Any]] = []
        self._rows: list[list[list[int]]] = []
        for exam, kept in ranks.items():
            both = [rank for rank in kept if all((exam, phase, rank) in rows for phase in PHASES)]
            if not both:
                problems["no slice is usable at both phases"] += 1
                continue
            self._rows.append([[rows[exam, phase, rank] for rank in both] for phase in PHASES])
            own = {key: value for key, value in by_exam[exam]["ED"].items() if key in ("patient", class_key)}
            self.items.append({"exam": exam, **own, "slices": both})
        if problems:
            told = "; ".join(f"{reason} ({count})" for reason, count in problems.items())
            if required and not self.items:
                raise InputError(
                    f"no exam can be used: {told}; index exams with volumes at ED and ES and a class (`--classes FILE.csv`)"
                )
            logger.warning("%d exams left out: %s", problems.total(), told)
        #: ``(exams,)``, on the CPU
        self.labels = torch.tensor([self._label(item, class_key) for item in self.items], dtype=torch.long)

    def _label(self, item: dict[str, Any], class_key: str) -> int:
        if class_key not in item:
            return UNKNOWN
        if (name := str(item[class_key])) not in self.classes:
            raise InputError(
                f"exam {item['exam']}: {class_key} is {name!r}; it must be one of {', '.join(self.classes)} (--classes)"
            )
        return self.classes.index(name)
