"""Heads in the layout of BraTS 2018: each grade has a folder, and in it each case has a folder with four contrasts and a
mask."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np

from planewise.phantoms.recipe import Recipe
from planewise.phantoms.scanner.nifti import NiftiFile


def exam_paths(recipe: Recipe, number: int) -> list[PurePosixPath]:
    """The case's folder under the root of the set, as a list of one."""
    return [PurePosixPath(recipe.organ(number).grade) / _name(number)]


def write_exam(recipe: Recipe, number: int, paths: list[Path]) -> None:
    """Write a case to ``paths`` (`exam_paths`). A head without a tumour has no mask, or a mask of its tissues."""
    head = recipe.exam(number)
    images, mask = head.scan()
    side = head.population.side
    # i points to the patient's left and j to the back, as in the files of BraTS
    affine = np.diag([-head.spacing, -head.spacing, head.spacing, 1.0])
    affine[:3, 3] = np.array([1, 1, -1]) * head.spacing * (side - 1) / 2
    volumes = {contrast: np.round(image).astype(np.int16) for contrast, image in images.items()}
    if head.tumour or head.has_tissues:
        volumes["seg"] = mask
    for name, volume in volumes.items():
        NiftiFile(f"{_name(number)}_{name}.nii.gz", volume, affine).write(paths[0])


def _name(number: int) -> str:
    """The name of a case, which contains year, site, patient and scan as in BraTS."""
    return f"Brats18_PHANTOM_{number:03d}_1"
