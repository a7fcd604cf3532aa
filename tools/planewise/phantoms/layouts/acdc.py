"""Exams in the layout of the Automated Cardiac Diagnosis Challenge: NIfTI volumes, masks, Info.cfg."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np

from planewise.phantoms.heart.groups import GROUPS
from planewise.phantoms.heart.heart import LABELS
from planewise.phantoms.heart.volumes import view_files
from planewise.phantoms.recipe import Recipe

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
    scanner, patient = exam.scanner, exam.heart.patient
    for file in view_files(exam, "sax", CODES, f"{name}_4d", f"{name}_frame{{1:02d}}", f"{name}_frame{{1:02d}}_gt"):
        # the affine contains the spacing but no orientation, as in ACDC
        file.affine = np.diag([scanner.spacing, scanner.spacing, scanner.distance, 1.0])
        file.write(folder)
    (folder / "Info.cfg").write_text(
        f"ED: 1\nES: {exam.end_systole + 1}\nGroup: {patient.group}\nHeight: {patient.height}\n"
        f"NbFrame: {scanner.phases}\nWeight: {patient.weight}\n"
    )
