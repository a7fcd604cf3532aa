"""Exams in the layout of fastMRI's knee DICOM files: a folder for each exam and series, and an image for each slice."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath

from planewise.phantoms.knee.study import study_files
from planewise.phantoms.recipe import Recipe
from planewise.phantoms.scanner.dicom import DicomFile, write_files


def exam_folder(recipe: Recipe, number: int) -> PurePosixPath:
    """Folder of an exam under the root of the set. Its name contains a comma, as in the real set."""
    code = int(hashlib.sha256(f"{recipe.seed} {number}".encode()).hexdigest()[:8], 16)
    return PurePosixPath(f"{number:05d},{code % 10**6:06d}")


def exam_paths(recipe: Recipe, number: int) -> list[PurePosixPath]:
    """The exam's folder under the root of the set, as a list of one."""
    return [exam_folder(recipe, number)]


def write_exam(recipe: Recipe, number: int, paths: list[Path]) -> None:
    """Write an exam to ``paths``, which have the order of `exam_paths`."""
    write_files(exam_files(recipe, number), paths[0])


def exam_files(recipe: Recipe, number: int) -> list[DicomFile]:
    """All files of an exam, with paths relative to the folder of the exam."""
    exam, identity, population = recipe.exam(number), recipe.identity(number), recipe.population
    return study_files(exam, identity, population.plain_sagittal, population.localizer, population.poor_names)
