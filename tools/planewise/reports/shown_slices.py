"""Read and write a file with a method's slices, labels and predictions, for pictures that compare methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

#: The file's name in a run's results folder.
SHOWN_SLICES = "shown_slices.npz"


@dataclass(frozen=True)
class ShownSlice:
    """A slice ``(i, j)``: its image, the reference labels, and the predicted labels."""

    image: np.ndarray
    reference: np.ndarray
    prediction: np.ndarray


def hard_slices(reference: np.ndarray) -> list[int]:
    """The hard slices of a labelled volume ``(i, j, slices)``: the first and the last with a label.

    At the base and the apex, structures end, are cut obliquely or are small. The choice depends only on the reference,
    so it is the same for every method. The list is empty if the volume has no labels.
    """
    labelled = np.flatnonzero(reference.any(axis=(0, 1)))
    return sorted({int(labelled[0]), int(labelled[-1])}) if len(labelled) else []


def write_shown_slices(path: Path, slices: Mapping[str, ShownSlice]) -> None:
    """Write slices under their captions; images as float32, labels as bytes."""
    arrays: dict[str, np.ndarray] = {"captions": np.array(list(slices))}
    for number, shown in enumerate(slices.values()):
        arrays[f"image{number}"] = shown.image.astype(np.float32)
        arrays[f"reference{number}"] = shown.reference.astype(np.uint8)
        arrays[f"prediction{number}"] = shown.prediction.astype(np.uint8)
    np.savez_compressed(path, **arrays)


def read_shown_slices(path: Path) -> dict[str, ShownSlice]:
    """Read what `write_shown_slices` wrote; empty if there is no file."""
    if not path.is_file():
        return {}
    with np.load(path) as file:
        return {
            str(caption): ShownSlice(file[f"image{number}"], file[f"reference{number}"], file[f"prediction{number}"])
            for number, caption in enumerate(file["captions"])
        }
