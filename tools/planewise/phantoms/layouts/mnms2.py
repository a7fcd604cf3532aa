"""Exams in the layout of the M&Ms-2 challenge: short-axis and 4ch volumes with masks at ED and ES, and a table. Their
headers are mirrored from head to foot, as those of both real samples that are public."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from planewise.phantoms.heart.heart import LABELS
from planewise.phantoms.heart.volumes import view_files
from planewise.phantoms.recipe import Recipe

TABLE = "dataset_information.csv"

#: First row of the table.
TABLE_HEADER = ("SUBJECT_CODE", "DISEASE", "VENDOR", "SCANNER", "FIELD")

#: Maps our labels to the labels of the data set, where 1 is the left and 3 the right ventricle. Atria are not labelled.
CODES = {LABELS["lv"]: 1, LABELS["myocardium"]: 2, LABELS["rv"]: 3}

#: Turns positions in the patient, RAS+, to those in the data set's headers.
MIRROR = np.diag([1.0, 1.0, -1.0, 1.0])

#: Maps our views to their names in the data set.
_NAMES = {"sax": "SA", "4ch": "LA"}


def exam_name(number: int) -> str:
    """The code of an exam, which is also the name of its folder: three digits."""
    return f"{number:03d}"


def exam_paths(recipe: Recipe, number: int) -> list[PurePosixPath]:
    """The exam's folder under the root of the set, as a list of one."""
    return [PurePosixPath("dataset") / exam_name(number)]


def write_exam(recipe: Recipe, number: int, paths: list[Path]) -> None:
    """Write an exam to ``paths``, which have the order of `exam_paths`."""
    exam = recipe.exam(number)
    for view, short in _NAMES.items():
        stem = f"{exam_name(number)}_{short}"
        for file in view_files(exam, view, CODES, f"{stem}_CINE", f"{stem}_{{0}}", f"{stem}_{{0}}_gt"):
            replace(file, affine=MIRROR @ file.affine).write(paths[0])


def table_rows(recipe: Recipe, number: int) -> dict[str, tuple[object, ...]]:
    """An exam's row of ``dataset_information.csv``."""
    return {TABLE: (exam_name(number), recipe.organ(number).patient.group, "phantom", "phantom", "1.5")}
