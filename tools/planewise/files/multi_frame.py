"""Pixels of multi-frame DICOM files that ITK does not read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def read_frames(path: str | os.PathLike, only_scaled_apart: bool = False) -> list[np.ndarray]:
    """Read a multi-frame file for which ITK fails: pixels of each frame, ``(columns, rows)``. ITK does not open some
    files. In others, it applies the first frame's rescale slope and intercept to all frames.

    Args:
        path: the file.
        only_scaled_apart: read the frames only if their slopes or intercepts differ.

    Returns:
        Frames in the file's order, rescaled if the header says so. The list is empty for a single-frame file, for
        frames that ``only_scaled_apart`` excludes, and if pydicom cannot open the file either.
    """
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
    """Slope and intercept of a frame of an enhanced file; None if the file has none.

    Args:
        group: the frame's own header.
        shared: header that all frames share.
    """
    slope = first_of(group, shared, "PixelValueTransformationSequence", "RescaleSlope")
    if slope is None:
        return None
    return float(slope), float(first_of(group, shared, "PixelValueTransformationSequence", "RescaleIntercept") or 0)


def first_of(group: Dataset, shared: Dataset, sequence: str, keyword: str) -> Any:
    """The frame's own value, or the shared one; None if neither exists."""
    for source in (group, shared):
        items = source.get(sequence)
        if items and items[0].get(keyword) is not None:
            return items[0].get(keyword)
    return None
