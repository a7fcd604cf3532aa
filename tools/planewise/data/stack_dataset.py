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
from planewise.preprocessing.limit_slices import evenly_spaced

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
        max_slices: maximum number of slices of a stack; they are evenly spaced from its first slice to its last. None
            takes all slices.
        required: whether it is an error if no exam has a label, as in training.
        options: ``cache_dir``, ``device``, ``num_workers`` and ``progress`` of `SliceDataset`.

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


def padded_stacks(slices: SliceDataset, rows: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
    """The slices of stacks, ``image`` and ``image_padding`` ``(stacks, S, ...)``, padded with zeros, and ``mask``
    ``(stacks, S)``, true for real slices.

    Args:
        slices: the slices, of one channel.
        rows: the indices of each stack's slices.
    """
    found = slices.__getitems__([row for stack in rows for row in stack])
    counts = [len(stack) for stack in rows]
    names = ("image", "image_padding")
    batch = {name: pad_sequence(list(found[name][:, 0].split(counts)), batch_first=True) for name in names}
    mask = torch.tensor([[rank < count for rank in range(max(counts))] for count in counts])
    return batch | {"mask": to_device(mask, found["image"].device)}


def slices_between(count: int, first: float, last: float) -> list[int]:
    """The ranks of the slices of a stack whose centres lie between two heights, as shares of the stack's height, 0 to
    1; or of the one nearest to their middle. From 1/3 to 2/3 is the middle third, whichever end of the stack is the
    base; if the stack covers the ventricles, it is mid-ventricular."""
    middles = [(rank + 0.5) / count for rank in range(count)]
    # a tolerance, because floating-point numbers cannot represent a third exactly
    chosen = [rank for rank, middle in enumerate(middles) if first - 1e-9 <= middle <= last + 1e-9]
    return chosen or [min(range(count), key=lambda rank: abs(middles[rank] - (first + last) / 2))]


class TwoPhaseDataset(Dataset):
    """One sample per exam: its preprocessed slices at end-diastole and end-systole, and its class.

    A batch is a dictionary of tensors:

    - ``image``: the slices at end-diastole, followed by those at end-systole, ``(B, 2 S, i, j)``, float32; shorter exams
      are padded to S slices with zeros;
    - ``mask``: true for real slices, ``(B, S)``, bool;
    - ``image_padding``: ``(B, 2 S)``;
    - ``label``: the class, ``(B,)``, int64; `UNKNOWN` for an exam without a class;
    - ``index``: index into `items`, ``(B,)``.

    An exam is left out, and counted in the log, if it has no class, lacks one of the phases, or has different numbers of
    slices at the two phases.

    Args:
        data: items of a datalist, whole volumes with ``phase`` ED or ES.
        transform: deterministic MONAI transforms from a slice's item to tensors; see `SliceDataset`.
        classes: names of the classes, in order.
        class_key: key of the items' class.
        slices: the two heights between which slices are used, as shares of the stack's height (`slices_between`).
        labelled: False keeps exams without a class.
        required: whether it is an error if no exam is left.
        num_exams: maximum number of exams; None takes all.
        options: ``cache_dir``, ``device``, ``num_workers`` and ``progress`` of `SliceDataset`.

    Raises:
        InputError: an exam's class is not one of ``classes``, or no exam is left and ``required`` is true.
    """

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
        exams, problems = self._pairs(class_key, labelled)
        pairs: dict[str, dict[str, Any]] = {}
        wanted = []
        for exam, pair in list(exams.items())[:num_exams]:
            cut = {phase: expand_volumes([pair[phase]]) for phase in PHASES}
            count = len(cut["ED"])
            if len(cut["ES"]) != count:
                problems["different numbers of slices at the two phases"] += 1
                continue
            pairs[exam] = pair
            kept = slices_between(count, first, last)
            wanted += [cut[phase][rank] | {"slice": rank} for phase in PHASES for rank in kept]
        self.slices = SliceDataset(wanted, transform, label_keys=(), **options)
        rows: dict[str, dict[str, dict[int, int]]] = defaultdict(lambda: {phase: {} for phase in PHASES})
        for row, item in enumerate(self.slices.items):
            rows[item["exam"]][item["phase"]][item["slice"]] = row
        self.items: list[dict[str, Any]] = []
        self._rows: list[list[list[int]]] = []
        for exam, pair in pairs.items():
            both = sorted(rows[exam]["ED"].keys() & rows[exam]["ES"].keys())
            if not both:
                problems["no slice is usable at both phases"] += 1
                continue
            self._rows.append([[rows[exam][phase][rank] for rank in both] for phase in PHASES])
            own = {key: pair["ED"][key] for key in ("patient", class_key) if key in pair["ED"]}
            self.items.append({"exam": exam, **own, "slices": both})
        if problems:
            told = "; ".join(f"{reason} ({count})" for reason, count in problems.items())
            if required and not self.items:
                raise InputError(
                    f"no exam can be used: {told}; index exams that have volumes at ED and ES and a class "
                    "(`planewise index --classes FILE.csv`)"
                )
            logger.warning("%d exams left out: %s", problems.total(), told)
        #: ``(exams,)``, on the CPU
        self.labels = torch.tensor([self._label(item, class_key) for item in self.items], dtype=torch.long)

    def _pairs(self, class_key: str, labelled: bool) -> tuple[dict[str, dict[str, Any]], Counter[str]]:
        """Map each exam to its items by phase, and count the exams that are left out for each reason."""
        by_exam: dict[str, dict[str, Any]] = defaultdict(dict)
        for item in self.data:
            by_exam[exam_of(item)].setdefault(str(item.get("phase", "")).upper(), item)
        exams: dict[str, dict[str, Any]] = {}
        problems: Counter[str] = Counter()
        for exam, found in by_exam.items():
            if absent := [phase for phase in PHASES if phase not in found]:
                problems[f"no volume at {' and '.join(absent)}"] += 1
            elif labelled and class_key not in found["ED"]:
                problems[f"no class ({class_key})"] += 1
            else:
                exams[exam] = {phase: {**found[phase], "exam": exam, "phase": phase} for phase in PHASES}
        return exams, problems

    def _label(self, item: dict[str, Any], class_key: str) -> int:
        if class_key not in item:
            return UNKNOWN
        if (name := str(item[class_key])) not in self.classes:
            raise InputError(
                f"exam {item['exam']}: {class_key} is {name!r}; it must be one of {', '.join(self.classes)} (--classes)"
            )
        return self.classes.index(name)

    def __len__(self) -> int:
        return len(self.items)

    def __getitems__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        found = padded_stacks(self.slices, [phase for index in indices for phase in self._rows[index]])
        mask = found.pop("mask")[::2]  # both phases have the same slices
        batch = {name: rearrange(rows, "(b phase) s ... -> b (phase s) ...", phase=2) for name, rows in found.items()}
        index = torch.as_tensor(indices, dtype=torch.long)
        label, index = (to_device(values, mask.device) for values in (self.labels[index], index))
        return batch | {"mask": mask, "label": label, "index": index}
