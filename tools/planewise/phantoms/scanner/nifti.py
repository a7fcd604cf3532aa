"""Write phantom volumes as NIfTI files."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np


@dataclass
class NiftiFile:
    """A volume of an exam before it is written."""

    name: str
    """Name of the file, with its ending"""
    volume: np.ndarray
    """``(columns, rows, slices)``, or ``(columns, rows, slices, phases)`` for a cine"""
    affine: np.ndarray
    """``(4, 4)``, voxel indices to patient space, RAS+, mm"""
    step: float | None = None
    """Seconds between the phases of a cine"""

    def write(self, folder: Path) -> None:
        """Write the file with compression; the folder is created if it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        image = nib.Nifti1Image(self.volume, self.affine)
        sizes = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        image.header.set_zooms(sizes if self.step is None else [*sizes, self.step])
        image.header.set_xyzt_units("mm", "sec")
        # there is no time stamp, so that the same exam always gives the same file
        (folder / self.name).write_bytes(gzip.compress(image.to_bytes(), compresslevel=1, mtime=0))
