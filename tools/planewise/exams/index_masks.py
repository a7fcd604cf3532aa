"""Check the masks of an index: who made them, whether they can be used, and likely mistakes in them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from planewise.exams.masks import OF_A_MASK, is_unchecked
from planewise.files.datalists import PREDICTED, is_labelled
from planewise.files.masks import mask_doubts, read_mask, unknown_values, why_unusable
from planewise.findings import Finding, finding
from planewise.words import some_of

if TYPE_CHECKING:
    from planewise.exams.index import IndexResult


class MaskChecks:
    """Checks of the masks of a datalist's items, which they change; what they find goes into the result.

    Args:
        items: the items.
        result: receives warnings, and unmatched files.
    """

    def __init__(self, items: Sequence[dict], result: IndexResult) -> None:
        self.items, self.result = items, result
        self.is_unchecked = cache(is_unchecked)  # cached, because it reads the masks

    def warn(self, code: str, **values: object) -> None:
        self.result.warnings.append(finding(code, **values))

    def of_people(self, masks: Sequence[Path]) -> Sequence[Path]:
        """The masks that people made, corrected or checked, with a warning that counts the others; all masks if a network
        made all of them."""
        made = [path for path in masks if not self.is_unchecked(path)]
        if len(made) in (0, len(masks)):
            return masks
        self.warn("masks-note", count=len(masks) - len(made), kind="predicted-left-out")
        return made

    def leave_out(self, reasons: Mapping[str, Finding]) -> None:
        """Remove masks that are no labels; ``reasons`` maps each file to the reason."""
        self.result.unmatched += [(Path(file).name, reason) for file, reason in reasons.items()]
        _remove(item for item in self.items if item.get("label") in reasons)

    def leave_out_unusable(self, label_map: Mapping[str, int]) -> None:
        """Remove masks of whole volumes whose values a label map does not turn into labels."""
        named = sorted({item["label"] for item in self.items if item.get("label_map") == label_map})
        self.leave_out({file: why for file in named if (why := why_unusable(file, label_map))})

    def mark_predicted(self) -> None:
        """Mark the items whose masks a network predicted, and warn about them."""
        predicted = [item for item in self.items if "label" in item and self.is_unchecked(Path(item["label"]))]
        for item in predicted:
            item["label_origin"] = PREDICTED
        if predicted:
            files, exams = ({item[key] for item in predicted} for key in ("label", "exam"))
            self.warn("masks-note", count=len(files), exams=len(exams), kind="predicted")

    def check_values(self, view: str) -> None:
        """Remove masks that cannot be used (`masks.add_masks` has already checked those of ``--labels``), and warn about
        likely mistakes in masks and about masks of only some slices. Masks that a network predicted are checked where they
        are made."""
        slices: dict[tuple, set[int]] = defaultdict(set)
        covered: dict[str, tuple[tuple, set[int]]] = {}
        used: dict[str, dict] = {}
        for item in self.items:
            place = item["exam"], item.get("phase")
            slices[place].add(item.get("slice", 0))
            if is_labelled(item):
                used[item["label"]] = item
                covered.setdefault(item["label"], (place, set()))[1].add(item.get("slice", 0))
        found: dict[Finding, list[str]] = defaultdict(list)
        unusable: dict[str, Finding] = {}
        for file, item in used.items():
            if why := why_unusable(file, item.get("label_map")):
                unusable[file] = why
                continue
            mask = read_mask(file, item.get("label_map"))[0]
            doubts = list(mask_doubts(mask, view))
            if mask.ndim == 4 and (empty := set(np.flatnonzero(~mask.any(axis=(0, 1, 2))))):
                # M&Ms draws end-diastole and end-systole only
                doubts.append(finding("masks-note", kind="empty-frames"))
                _remove(each for each in self.items if each.get("label") == file and each.get("time") in empty)
            place, own = covered[file]
            if len(own) < len(slices[place]):
                doubts.append(finding("masks-note", count=len(own), of=len(slices[place]), kind="covers"))
            for doubt in doubts:
                found[doubt].append(f"{Path(file).name} (exam {item['exam']})")
            if values := unknown_values(mask, view):
                for each in self.items:
                    if each.get("label") == file:
                        each["unknown_labels"] = values
        self.result.warnings += [doubt.about(some_of(files)) for doubt, files in found.items()]
        self.leave_out(unusable)

    def warn_of_two_origins(self) -> None:
        """Warn if the exams use masks of two origins: those of ``--labels`` and, where it has none, the exams' own."""
        exams: dict[bool, set[str]] = {True: set(), False: set()}
        for item in self.items:
            if "label" in item:
                exams[item["label"] in self.result.masks].add(item["exam"])
        if exams[True] and exams[False]:
            self.warn("masks-note", given=len(exams[True]), own=len(exams[False]), kind="origins")


def _remove(items: Iterable[dict]) -> None:
    for item in items:
        for key in OF_A_MASK:
            item.pop(key, None)
