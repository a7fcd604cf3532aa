"""Volumes that are bare arrays: MRNet's ``.npy`` files, which have no spacing."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from planewise.errors import InputError
from planewise.exams.mrnet import open_volume


def is_array(path: str | Path) -> bool:
    """Whether a path belongs to such a volume."""
    return str(path).endswith(".npy")


def read_array(path: str | Path, field: float | None) -> tuple[np.ndarray, np.ndarray]:
    """An array ``(slices, rows, columns)`` as a volume.

    Args:
        path: path of the file.
        field: assumed length of a slice's longer side, mm, because the file does not give the length. If it equals the
            size of the network's grid in mm, resampling only unifies the size.

    Returns:
        Pixels ``(i, j, slices)``, i along a row, memory-mapped, and an affine ``(4, 4)`` with that spacing and no
        position.

    Raises:
        InputError: ``field`` is None.
        ValueError: the file cannot be read, or the array is not three-dimensional.
    """
    array = open_volume(path)
    if array.ndim != 3:
        raise ValueError(f"the array has {array.ndim} dimensions; it must have three (slices, rows, columns)")
    if field is None:
        raise InputError(
            "an .npy volume has no spacing, and this bundle needs the geometry of headers; use a bundle with the setting "
            "field_without_spacing"
        )
    spacing = field / max(array.shape[1:])
    return array.transpose(2, 1, 0), np.diag([spacing, spacing, spacing, 1.0])
