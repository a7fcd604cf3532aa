"""Heads in the layout of BraTS 2018: each grade has a folder, and in it each case has a folder with four contrasts and a
mask."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np

from planewise.phantoms.recipe import Recipe
from planewise.phantoms.scanner.nifti import NiftiFile
from planewise.phantoms.volume_defects import MASK


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
    files = [NiftiFile(contrast, np.round(image).astype(np.int16), affine) for contrast, image in images.items()]
    if head.tumour or head.has_tissues:
        files.append(NiftiFile(MASK, mask, affine))
    for file in recipe.with_defects(files, head, number):
        file.name = f"{_name(number)}_{'seg' if file.name == MASK else file.name}.nii.gz"
        file.write(paths[0])


def _name(number: int) -> str:
    """The name of a case, which contains year, site, patient and scan as in BraTS."""
    return f"Brats18_PHANTOM_{number:03d}_1"
