"""Exams in the layout of MRNet-v1.0: a volume of 8 bits per exam and plane without geometry, labels in tables."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np

from planewise.phantoms.recipe import Recipe

#: Tables have no header.
TABLE_HEADER = ()

#: Exams of the real set's two parts; the second part's identifiers continue those of the first.
TRAIN, VALID = 1130, 120

#: The real set's planes; `KneePopulation.views` sets how many are written. Later steps read only sagittal volumes, and
#: each of the others would cost as much again.
PLANES = ("sagittal", "coronal", "axial")


def exam_place(number: int) -> tuple[str, str]:
    """Part of the set and identifier of an exam.

    Exams of the two parts are interleaved in their real proportions, so even a small tree has exams of both.
    """
    block, rank = divmod(number - 1, TRAIN + VALID)
    before = rank * VALID // (TRAIN + VALID)
    valid = (rank + 1) * VALID // (TRAIN + VALID) > before
    place = TRAIN + before if valid else rank - before
    return ("valid" if valid else "train"), f"{block * (TRAIN + VALID) + place:04d}"


def exam_paths(recipe: Recipe, number: int) -> list[PurePosixPath]:
    """Files of an exam under the root of the set: one per plane."""
    part, name = exam_place(number)
    return [PurePosixPath(part) / plane / f"{name}.npy" for plane in PLANES[: recipe.population.views]]


def write_exam(recipe: Recipe, number: int, paths: list[Path]) -> None:
    """Writes an exam to ``paths``, which correspond to those of `exam_paths`."""
    exam = recipe.exam(number)
    for stream, (plane, path) in enumerate(zip(PLANES, paths, strict=False)):
        # a file object, because NumPy would add an ending to a name
        with path.open("wb") as file:
            np.save(file, stretched(exam.volume(plane, stream)))


def table_rows(recipe: Recipe, number: int) -> dict[str, tuple[object, ...]]:
    """An exam's rows of the six tables."""
    part, name = exam_place(number)
    return {f"{part}-{task}.csv": (name, label) for task, label in recipe.organ(number).findings.labels.items()}


def stretched(volume: np.ndarray) -> np.ndarray:
    """A volume over the whole range of 8 bits; the brightest few pixels are clipped."""
    low, high = np.percentile(volume, (0.5, 99.8))
    return np.clip(np.round((volume - low) * (255 / max(high - low, 1e-6))), 0, 255).astype(np.uint8)
