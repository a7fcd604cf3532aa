"""Exams in the layout of MRNet-v1.0: an 8-bit volume without geometry for each exam and plane, and labels in tables."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np

from planewise.phantoms.recipe import Recipe

#: Numbers of exams in the two parts of the real set. The identifiers of the second part continue those of the first part.
TRAIN, VALID = 1130, 120

#: The planes of the real set; `KneePopulation.views` determines how many are written. By default, only sagittal volumes
#: are written, because later steps read only these, and every additional plane would take the same time again.
PLANES = ("sagittal", "coronal", "axial")


def exam_place(number: int) -> tuple[str, str]:
    """The part of the set to which an exam belongs, and the exam's identifier.

    Exams of the two parts are interleaved in the real proportions, so that even a small set has exams of both parts.
    """
    block, rank = divmod(number - 1, TRAIN + VALID)
    before = rank * VALID // (TRAIN + VALID)
    valid = (rank + 1) * VALID // (TRAIN + VALID) > before
    place = TRAIN + before if valid else rank - before
    return ("valid" if valid else "train"), f"{block * (TRAIN + VALID) + place:04d}"


def exam_paths(recipe: Recipe, number: int) -> list[PurePosixPath]:
    """The files of an exam under the root of the set, one for each plane."""
    part, name = exam_place(number)
    return [PurePosixPath(part) / plane / f"{name}.npy" for plane in PLANES[: recipe.population.views]]


def write_exam(recipe: Recipe, number: int, paths: list[Path]) -> None:
    """Write an exam to ``paths``, which have the order of `exam_paths`."""
    exam = recipe.exam(number)
    for stream, (plane, path) in enumerate(zip(PLANES, paths, strict=False)):
        # a file object is passed, because NumPy would add an ending to a name
        with path.open("wb") as file:
            np.save(file, stretched(exam.volume(plane, stream)))


def table_rows(recipe: Recipe, number: int) -> dict[str, tuple[object, ...]]:
    """An exam's rows of the six tables."""
    part, name = exam_place(number)
    return {f"{part}-{task}.csv": (name, label) for task, label in recipe.organ(number).findings.labels.items()}


def stretched(volume: np.ndarray) -> np.ndarray:
    """Stretch a volume to the whole range of 8 bits; the darkest and the brightest pixels are clipped."""
    low, high = np.percentile(volume, (0.5, 99.8))
    return np.clip(np.round((volume - low) * (255 / max(high - low, 1e-6))), 0, 255).astype(np.uint8)
