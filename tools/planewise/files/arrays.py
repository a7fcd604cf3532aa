"""Pixels that ITK and nibabel do not read: volumes as ``.npy`` files without geometry (MRNet), and some multi-frame DICOM."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from planewise.errors import InputError
from planewise.findings import finding

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def is_array(path: str | Path) -> bool:
    """Whether a path belongs to a volume in a bare array (``.npy``)."""
    return str(path).endswith(".npy")


def read_array(path: str | Path, field: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Read an array ``(slices, rows, columns)`` as memory-mapped pixels ``(i, j, slices)``, with i along a row, and an affine
    ``(4, 4)`` that contains only the spacing, mm.

    Args:
        path: path of the file.
        field: assumed length of a slice's longer side, mm, because the file does not contain it; None refuses the file.
    """
    array = open_volume(path)
    if array.ndim != 3:
        raise InputError(finding("array-unusable", kind="shape", shape=array.shape))
    if field is None:
        raise InputError(
            "an .npy volume has no spacing, but this bundle needs the geometry from headers; use a bundle with the setting "
            "field_without_spacing"
        )
    spacing = field / max(array.shape[1:])
    return array.transpose(2, 1, 0), np.diag([spacing, spacing, spacing, 1.0])


def open_volume(path: str | Path) -> np.ndarray:
    """A volume as its file stores it, memory-mapped; an `InputError` without the path if it cannot be read."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(finding("array-unusable", kind="cut" if "mmap" in str(error) else "damaged")) from error


def read_frames(path: str | os.PathLike, only_scaled_apart: bool = False) -> list[np.ndarray]:
    """Read the frames of a multi-frame file in order, ``(columns, rows)`` each, rescaled: ITK does not open some files, and
    applies the first frame's rescale slope and intercept to all frames of others. Empty for a single-frame file, if pydicom
    cannot open it either, and, with ``only_scaled_apart``, if all frames have the same slope and intercept."""
    import pydicom  # imported here, because networks that read NIfTI need no pydicom
    from pydicom.dataset import Dataset

    try:
        dataset = pydicom.dcmread(path)
        if int(dataset.get("NumberOfFrames") or 1) < 2:
            return []
        of_all = float(dataset.get("RescaleSlope") or 1), float(dataset.get("RescaleIntercept") or 0)
        shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
        groups = dataset.get("PerFrameFunctionalGroupsSequence") or [Dataset()] * int(dataset.NumberOfFrames)
        scales = [rescale_of(group, shared) or of_all for group in groups]
        if only_scaled_apart and len(set(scales)) == 1:
            return []
        frames = dataset.pixel_array
        return [frame.T * slope + intercept for frame, (slope, intercept) in zip(frames, scales, strict=True)]
    except Exception:  # if this second attempt fails, too, ITK's reason or result is used
        return []


def rescale_of(group: Dataset, shared: Dataset) -> tuple[float, float] | None:
    """Slope and intercept of a frame of an enhanced file, from its own header or the shared one; None if it has none."""
    names = ("RescaleSlope", "RescaleIntercept")
    slope, intercept = (first_of(group, shared, "PixelValueTransformationSequence", name) for name in names)
    return None if slope is None else (float(slope), float(intercept or 0))


def first_of(group: Dataset, shared: Dataset, sequence: str, keyword: str) -> Any:
    """The frame's own value, or the shared one; None if neither exists."""
    for source in (group, shared):
        items = source.get(sequence)
        if items and items[0].get(keyword) is not None:
            return items[0].get(keyword)
    return None
