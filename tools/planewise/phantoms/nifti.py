"""Volumes as NIfTI files that are the same, bit by bit, whenever they are written."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np


def write_volume(path: Path, volume: np.ndarray, affine: np.ndarray, zooms: tuple[float, ...] | None = None) -> None:
    """Writes a compressed NIfTI volume.

    Args:
        path: of the file; its folder is there.
        volume: ``(i, j, k)``, or ``(i, j, k, time)``.
        affine: 4x4, RAS+, mm.
        zooms: of every axis, mm and s; None takes them from the affine.
    """
    image = nib.Nifti1Image(volume, affine)
    if zooms is not None:
        image.header.set_zooms(zooms)
    image.header.set_xyzt_units("mm", "sec")
    # without a time stamp the same exam is the same file
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=1, mtime=0))
