"""Volumes as ``.npy`` files, which have no geometry (MRNet)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from planewise.errors import InputError
from planewise.findings import finding


def is_array(path: str | Path) -> bool:
    """Whether a path belongs to a volume in a bare array (``.npy``)."""
    return str(path).endswith(".npy")


def read_array(path: str | Path, field: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Read an array ``(slices, rows, columns)`` as a volume.

    Args:
        path: path of the file.
        field: assumed length of a slice's longer side, mm, because the file does not contain it. If it equals the side
            of the network's grid in mm, resampling only changes the number of pixels.

    Returns:
        Memory-mapped pixels ``(i, j, slices)``, with i along a row, and an affine ``(4, 4)`` that contains only the
        spacing, mm.

    Raises:
        InputError: ``field`` is None, the file cannot be read, or the array is not three-dimensional.
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
    """A volume as its file stores it, memory-mapped.

    Raises:
        InputError: the file cannot be read; the message does not contain the path.
    """
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(finding("array-unusable", kind="cut" if "mmap" in str(error) else "damaged")) from error
