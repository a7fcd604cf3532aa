"""Exams in the layout of fastMRI's knee DICOM files: one folder per exam, one per series, an image per slice."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath

from planewise.phantoms.knee.defects import KNEE_DEFECTS
from planewise.phantoms.knee.study import study_files
from planewise.phantoms.recipe import Recipe
from planewise.phantoms.scanner.dicom import DicomFile, write_files

#: The set has no tables: it has no labels.
TABLE_HEADER = ()


def exam_folder(recipe: Recipe, number: int) -> PurePosixPath:
    """Folder of an exam under the root of the set: names contain commas, as in the real set."""
    code = int(hashlib.sha256(f"{recipe.seed} {number}".encode()).hexdigest()[:8], 16)
    return PurePosixPath(f"{number:05d},{code % 10**6:06d}")


def exam_paths(recipe: Recipe, number: int) -> list[PurePosixPath]:
    """The exam's folder under the root of the set, as a list of one."""
    return [exam_folder(recipe, number)]


def write_exam(recipe: Recipe, number: int, paths: list[Path]) -> None:
    """Writes an exam to ``paths``, which correspond to those of `exam_paths`."""
    write_files(exam_files(recipe, number), paths[0])


def table_rows(recipe: Recipe, number: int) -> dict[str, tuple[object, ...]]:
    """Empty: fastMRI has no tables, because it has no labels."""
    return {}


def exam_files(recipe: Recipe, number: int) -> list[DicomFile]:
    """Every file of an exam, with paths below its folder, including defects."""
    exam, identity, population = recipe.exam(number), recipe.identity(number), recipe.population
    files = study_files(exam, identity, population.plain_sagittal, population.localizer, population.poor_names)
    for name in recipe.defects:
        files = KNEE_DEFECTS[name].alter(files, exam, identity)
    return files
