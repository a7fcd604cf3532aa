"""Select exams with masks that are good enough for cropping images to the heart."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from scipy.ndimage import generate_binary_structure, label

from planewise.errors import InputError
from planewise.files.masks import read_mask
from planewise.findings import Finding, finding
from planewise.geometry.tolerances import HEART_VOLUMES
from planewise.preprocessing.exam_name import exam_of

logger = logging.getLogger(__name__)

#: Values of `images`.
IMAGES = ("full", "segmented")
#: The largest connected piece must be at least this share of a heart.
ONE_PIECE = 0.8
#: Minimum number of slices that must show a heart; a stack with fewer slices must show it in all of them.
FEWEST_SLICES = 2
#: Number of exams that a message lists.
_NAMED = 10


def heart_problem(heart: np.ndarray, spacing: Sequence[float]) -> Finding | None:
    """Why a mask cannot be a heart; None if it can be one.

    Args:
        heart: ``(i, j, slices)``, bool.
        spacing: mm along the three axes.
    """
    voxels = int(heart.sum())
    if not voxels:
        return finding("mask-no-heart", kind="empty")
    least, most = HEART_VOLUMES
    volume = voxels * float(np.prod(spacing)) / 1000
    if not least <= volume <= most:
        return finding("mask-no-heart", kind="volume", ml=volume, low=least, high=most)
    seen = int(heart.any(axis=(0, 1)).sum())
    if seen < min(FEWEST_SLICES, heart.shape[2]):
        return finding("mask-no-heart", kind="slices", seen=seen, count=heart.shape[2])
    pieces, _ = label(heart, generate_binary_structure(3, 3))
    largest = int(np.bincount(pieces.ravel())[1:].max())
    if largest < ONE_PIECE * voxels:
        return finding("mask-no-heart", kind="pieces", percent=round(100 * largest / voxels))
    return None


def mask_problem(
    path: str | Path, labels: Collection[int], label_map: Mapping[str, int] | None = None
) -> Finding | None:
    """Like `heart_problem`, for the mask in a file.

    Args:
        path: NIfTI volume.
        labels: label values of the heart, after ``label_map``.
        label_map: maps values in the file to new values, as in a datalist's item.
    """
    try:
        values, affine = read_mask(path, label_map)
    except InputError as error:
        return finding("mask-no-heart", kind="unusable", error=str(error))
    if values.ndim != 3:
        return finding("mask-no-heart", kind="axes", axes=values.ndim)
    return heart_problem(np.isin(values, list(labels)), nibabel.affines.voxel_sizes(affine))


def with_hearts(
    items: Sequence[dict[str, Any]],
    images: str = "segmented",
    labels: Sequence[int] = (1, 2, 3),
    required: bool = True,
) -> list[dict[str, Any]]:
    """The items that can be cropped to the heart: they have a mask, and all masks of their exams are plausible.

    The log lists the hashes of the exams that are left out.

    Args:
        items: items of a datalist, slices or whole volumes; ``label`` is the path of a mask.
        images: ``"full"`` needs no masks and returns all items; ``"segmented"`` needs masks.
        labels: label values of the heart in the masks, after ``label_map``.
        required: whether it is an error if no item is left.

    Raises:
        InputError: there are items, but none can be used and ``required`` is true; or ``images`` has another value.
    """
    if images not in IMAGES:
        raise InputError(f"images must be full or segmented, got {images!r}")
    if images == "full" or not items:
        return list(items)
    problems: dict[str, Finding] = {}
    checked: dict[tuple, Finding | None] = {}
    bare: Counter[str] = Counter()
    for item in items:
        exam, path = exam_of(item), item.get("label")
        if not path:
            bare[exam] += 1
            continue
        label_map = item.get("label_map") or {}
        if (key := (path, *sorted(label_map.items()))) not in checked:
            checked[key] = mask_problem(path, labels, label_map)
        if problem := checked[key]:
            problems.setdefault(exam, problem.about(str(item.get("phase", ""))))
    kept = [item for item in items if item.get("label") and exam_of(item) not in problems]
    without = bare.keys() - {exam_of(item) for item in items if item.get("label")}
    problems |= dict.fromkeys(sorted(without), finding("mask-no-heart", kind="missing"))
    told = "; ".join(f"{exam}: {reason}" for exam, reason in list(problems.items())[:_NAMED])
    told += f"; and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
    if not kept and required:
        raise InputError(
            f"no exam can be cropped to its heart ({told}); predict masks with `planewise segment "
            "DATALIST -o FOLDER`, add your own with `planewise index --labels FOLDER`, or use --images full"
        )
    if problems:
        count = len({exam_of(item) for item in items})
        logger.warning(
            "%d of %d exams are left out, because they cannot be cropped to the heart: %s", len(problems), count, told
        )
    if rest := sum(bare.values()) - sum(bare[exam] for exam in without):
        logger.warning("%d images of the other exams have no mask and are left out", rest)
    return kept
