"""Pair the volumes of exams at end-diastole and end-systole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from planewise.preprocessing.exam_name import exam_of, volume_name

#: Keys of an exam's items that are kept in addition to its masks.
EXAM_KEYS = ("group", "height", "weight", "patient")


def pair_phases(items: Sequence[dict[str, Any]], masks: str | Path | None = None) -> list[dict[str, Any]]:
    """Merge the items of each exam's volumes into one item per exam.

    An item is ``{"exam", "ed": mask, "es": mask, "group", "height", "weight", "patient"}``, with ``label_map`` if the
    masks have one. Keys that the volumes lack are absent.

    Args:
        items: items of a datalist, with ``phase`` ED or ES and ``label``.
        masks: folder of predicted masks, ``<exam>_ED.nii.gz`` and ``<exam>_ES.nii.gz``, to use instead of the labels
            (output of the segmentation bundle's evaluation with ``save_masks``).
    """
    exams: dict[str, dict[str, Any]] = {}
    for item in items:
        exam = exams.setdefault(exam_of(item), {"exam": exam_of(item)})
        exam |= {key: item[key] for key in EXAM_KEYS if key in item}
        path = Path(masks) / f"{volume_name(item)}.nii.gz" if masks else item.get("label")
        if path:
            exam[str(item.get("phase", "")).lower()] = str(path)
            if not masks and "label_map" in item:  # predicted masks already have our label values
                exam["label_map"] = item["label_map"]
    return list(exams.values())
