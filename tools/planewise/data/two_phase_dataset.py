"""Batches of hearts at end-diastole and end-systole."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch.utils.data import Dataset

from planewise.data.datalist import expand_volumes
from planewise.data.slice_dataset import SliceDataset
from planewise.data.stack_dataset import padded_stacks
from planewise.data.to_device import to_device
from planewise.errors import InputError
from planewise.preprocessing.exam_name import exam_of

logger = logging.getLogger(__name__)

PHASES = ("ED", "ES")
#: The label of an exam with an unknown class.
UNKNOWN = -1


def slices_between(count: int, first: float, last: float) -> list[int]:
    """Select the slices of a stack whose centres lie between two heights.

    Args:
        count: number of slices.
        first, last: the two heights, as shares of the stack's height, 0 to 1. The range from 1/3 to 2/3 is the middle
            third, whichever end of the stack is the base; if the stack covers the ventricles, this third is
            mid-ventricular.

    Returns:
        The ranks of these slices. If no slice centre lies between the heights, the result is the rank of the slice nearest to
        their middle.
    """
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
    - ``heart``, if ``heart_labels`` is given: 1 where the mask shows the heart, ``(B, 2 S, i, j)``;
    - ``index``: index into `items`, ``(B,)``.

    An exam is left out if it has no class, lacks one of the phases, or has different numbers of slices at the two
    phases. The log gives the number of these exams.

    Args:
        data: items of a datalist, whole volumes with ``phase`` ED or ES.
        transform: deterministic MONAI transforms from a slice's item to tensors; see `SliceDataset`.
        classes: names of the classes, in order.
        class_key: key of the items' class.
        slices: the two heights between which slices are used, as shares of the stack's height (`slices_between`).
        labelled: False keeps exams without a class.
        required: whether it is an error if no exam is left.
        heart_labels: label values of the heart in the masks under ``label`` (the transform must keep the masks); None
            if no masks are needed.
        num_exams: maximum number of exams; None takes all.
        device: device for the batches; see `SliceDataset`.
        cache_dir, num_workers, progress: see `SliceCache`.

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
        heart_labels: Sequence[int] | None = None,
        num_exams: int | None = None,
        cache_dir: str | Path | None = None,
        device: str | torch.device | None = None,
        num_workers: int | None = None,
        progress: bool = True,
    ) -> None:
        self.data = data
        self.transform = transform
        self.classes = tuple(str(name) for name in classes)
        self.heart_labels = None if heart_labels is None else tuple(int(value) for value in heart_labels)
        first, last = (float(share) for share in slices)
        if not 0 <= first <= last <= 1:
            raise InputError(
                f"slices must be two increasing shares of the stack's height, such as [0, 1] for all, got {[first, last]}"
            )
        exams, problems = self._pairs(class_key, labelled)
        exams = dict(list(exams.items())[:num_exams])
        wanted = []
        for exam, pair in list(exams.items()):
            cut = {phase: expand_volumes([pair[phase]]) for phase in PHASES}
            counts = [len(cut[phase]) for phase in PHASES]
            if counts[0] != counts[1]:
                problems["different numbers of slices at the two phases"] += 1
                del exams[exam]
                continue
            kept = slices_between(counts[0], first, last)
            wanted += [cut[phase][rank] | {"slice": rank} for phase in PHASES for rank in kept]
        self.slices = SliceDataset(
            wanted,
            transform,
            cache_dir=cache_dir,
            device=device,
            label_keys=("label",) if self.heart_labels is not None else (),
            num_workers=num_workers,
            progress=progress,
        )
        rows: dict[str, dict[str, dict[int, int]]] = defaultdict(lambda: {phase: {} for phase in PHASES})
        for row, item in enumerate(self.slices.items):
            rows[item["exam"]][item["phase"]][item["slice"]] = row
        self.items: list[dict[str, Any]] = []
        self._rows: list[list[list[int]]] = []
        for exam, pair in exams.items():
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
        """Map each exam to its items by phase, and map each reason for leaving out exams to the number of these exams."""
        by_exam: dict[str, dict[str, Any]] = defaultdict(dict)
        for item in self.data:
            by_exam[exam_of(item)].setdefault(str(item.get("phase", "")).upper(), item)
        exams: dict[str, dict[str, Any]] = {}
        problems: Counter[str] = Counter()
        for exam, found in by_exam.items():
            absent = [phase for phase in PHASES if phase not in found]
            if absent:
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
        names = ("image", "image_padding", "label")[: 2 if self.heart_labels is None else 3]
        found = padded_stacks(self.slices, [phase for index in indices for phase in self._rows[index]], names)
        mask = found["mask"]
        # both phases have the same slices
        batch = {name: rearrange(found[name], "(b phase) s ... -> b (phase s) ...", phase=2) for name in names}
        if self.heart_labels is not None:
            wanted = torch.tensor(self.heart_labels, device=mask.device)
            heart = torch.isin(batch.pop("label").long(), wanted)
            batch["heart"] = (heart & mask.reshape(len(heart), -1, 1, 1)).float()
        index = torch.as_tensor(indices, dtype=torch.long)
        label, index = (to_device(values, mask.device) for values in (self.labels[index], index))
        return batch | {"mask": mask[::2], "label": label, "index": index}
