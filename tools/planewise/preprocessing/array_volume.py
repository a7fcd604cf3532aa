"""Read volumes from bare arrays without spacing, as in MRNet's ``.npy`` files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from planewise.errors import InputError
from planewise.exams.mrnet import open_volume


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
        InputError: ``field`` is None.
        ValueError: the file cannot be read, or the array is not three-dimensional.
    """
    array = open_volume(path)
    if array.ndim != 3:
        raise ValueError(f"the array has {array.ndim} dimensions; it must have three (slices, rows, columns)")
    if field is None:
        raise InputError(
            "an .npy volume has no spacing, but this bundle needs the geometry from headers; use a bundle with the setting "
            "field_without_spacing"
        )
    spacing = field / max(array.shape[1:])
    return array.transpose(2, 1, 0), np.diag([spacing, spacing, spacing, 1.0])
