"""Exams in the layout of the Automated Cardiac Diagnosis Challenge: NIfTI volumes, masks, Info.cfg."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np

from planewise.phantoms.heart.groups import GROUPS
from planewise.phantoms.heart.heart import LABELS
from planewise.phantoms.heart.volumes import cine_volume, mask_volume
from planewise.phantoms.recipe import Recipe
from planewise.phantoms.scanner.nifti import NiftiFile

#: ACDC uses the same label numbers as we do; atria are not labelled.
CODES = {value: value for value in LABELS.values()}

#: Number of consecutive patients with the same diagnosis, and number of patients after which the order repeats, as in the
#: real set.
BLOCK, HUNDRED = 20, 100


def exam_folder(number: int) -> PurePosixPath:
    """Folder of an exam under the root of the set.

    The set is ordered by disease: DCM 1-20, HCM 21-40 and so on. The folder depends only on the exam's number, so with fewer
    than a hundred exams, the numbers of the folders have gaps.
    """
    rank, group = divmod(number - 1, len(GROUPS))
    hundred, place = divmod(rank, BLOCK)
    return PurePosixPath("training") / f"patient{HUNDRED * hundred + BLOCK * group + place + 1:03d}"


def exam_paths(recipe: Recipe, number: int) -> list[PurePosixPath]:
    """The exam's folder under the root of the set, as a list of one."""
    return [exam_folder(number)]


def write_exam(recipe: Recipe, number: int, paths: list[Path]) -> None:
    """Write an exam to ``paths``, which have the order of `exam_paths`."""
    exam = recipe.exam(number)
    name, folder = exam_folder(number).name, paths[0]
    scanner, patient, systole = exam.scanner, exam.heart.patient, exam.end_systole
    cine, _ = cine_volume(exam, "sax")
    # the affine contains the spacing but no orientation, as in ACDC
    affine = np.diag([scanner.spacing, scanner.spacing, scanner.distance, 1.0])
    step = scanner.interval / scanner.phases / 1000
    files = [NiftiFile(f"{name}_4d.nii.gz", cine, affine, step)]
    for phase in (0, systole):
        frame = f"{name}_frame{phase + 1:02d}"
        files += [
            NiftiFile(f"{frame}.nii.gz", cine[..., phase], affine),
            NiftiFile(f"{frame}_gt.nii.gz", mask_volume(exam, "sax", phase, CODES), affine),
        ]
    for file in files:
        file.write(folder)
    (folder / "Info.cfg").write_text(
        f"ED: 1\nES: {systole + 1}\nGroup: {patient.group}\nHeight: {patient.height}\n"
        f"NbFrame: {scanner.phases}\nWeight: {patient.weight}\n"
    )
