"""Exams in the layout of the Data Science Bowl Cardiac Challenge: one folder of DICOM files per series."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from planewise.phantoms.heart.heart import END_SYSTOLE
from planewise.phantoms.heart.study import study_files
from planewise.phantoms.recipe import Recipe
from planewise.phantoms.scanner.dicom import DicomFile, write_files

#: Folder of the exams under the root.
ROOT = PurePosixPath("train/train")

#: First row of ``train.csv``.
TABLE_HEADER = ("Id", "Systole", "Diastole")


def exam_files(recipe: Recipe, number: int) -> list[DicomFile]:
    """All files of an exam, with paths relative to the folder of the exam."""
    return study_files(recipe.exam(number), recipe.identity(number), recipe.extra_views)


def exam_paths(recipe: Recipe, number: int) -> list[PurePosixPath]:
    """The exam's folder under the root of the set, as a list of one."""
    return [ROOT / str(number)]


def write_exam(recipe: Recipe, number: int, paths: list[Path]) -> None:
    """Write an exam to ``paths``, which have the order of `exam_paths`."""
    write_files(exam_files(recipe, number), paths[0])


def table_rows(recipe: Recipe, number: int) -> dict[str, tuple[object, ...]]:
    """An exam's row of ``train.csv``, with the volumes that the challenge asks for, ml."""
    heart = recipe.organ(number)
    systole, diastole = (round(heart.volumes(phase)["lv"], 1) for phase in (END_SYSTOLE, 0.0))
    return {"train.csv": (number, systole, diastole)}
