"""Recognise NIfTI files, and write arrays as NIfTI files in millimetres."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np

from planewise.atomic_write import atomic_write


def is_nifti(path: str | Path) -> bool:
    """Whether a file is NIfTI by its name; the ending may be in capitals."""
    return str(path).lower().endswith((".nii", ".nii.gz"))


def write_nifti(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    """Write a volume. Whole numbers are stored in 8 or 16 bits if they fit, all other values as 32-bit floats.

    Args:
        path: path of the file; it must end in ``.nii.gz``.
        array: ``(i, j, k)``.
        affine: voxel indices to patient space, RAS+, mm.
    """
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    kind: type = np.float32
    if np.array_equal(array, np.round(array)):
        kind = np.uint8 if low >= 0 and high < 2**8 else np.int16 if low >= -(2**15) and high < 2**15 else np.float32
    image = nibabel.Nifti1Image(array.astype(kind), np.asarray(affine, dtype=float))
    image.header.set_xyzt_units("mm")
    image.set_sform(image.affine, code=1)
    image.set_qform(image.affine, code=1)
    with atomic_write(path, ending=".nii.gz") as part:
        nibabel.save(image, part)
