"""Abdomens in the layout of task 7 of the Medical Segmentation Decathlon: images, masks, and a list of both."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

import numpy as np

from planewise.atomic_write import atomic_write
from planewise.phantoms.recipe import Recipe
from planewise.phantoms.scanner.nifti import NiftiFile

#: Every third case has no mask, similar to 139 of 420 in the real set.
TESTED = 3

#: Content of the file that macOS writes next to each file in an archive of the real set. It is not an image, although its
#: name ends like that of an image.
HIDDEN = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        "


def exam_paths(recipe: Recipe, number: int) -> list[PurePosixPath]:
    """The image of a case and its mask, if there is one, under the root of the set."""
    if number % TESTED == 0:
        return [PurePosixPath("imagesTs") / _name(number)]
    return [PurePosixPath("imagesTr") / _name(number), PurePosixPath("labelsTr") / _name(number)]


def write_exam(recipe: Recipe, number: int, paths: list[Path]) -> None:
    """Write a case to ``paths`` (`exam_paths`), and a hidden file next to each file, as in the archive of the real set."""
    abdomen = recipe.exam(number)
    affine = np.diag([*abdomen.spacing, 1.0])
    affine[:3, 3] = -np.array(abdomen.spacing) * (abdomen.population.side - 1) / 2
    # the masks of test images are not published
    for path, volume in zip(paths, abdomen.scan(), strict=False):
        (path.parent / f"._{_name(number)}").write_bytes(HIDDEN)
        NiftiFile(path.name, volume, affine).write(path.parent)


def write_listing(recipe: Recipe, out: Path) -> None:
    """Write ``dataset.json``, which lists the existing cases."""
    names = {
        folder: sorted(path.name for path in (out / folder).glob("[!.]*.nii.gz")) for folder in ("imagesTr", "imagesTs")
    }
    listing = {
        "name": "Pancreas",
        "description": "Phantoms in the layout of the decathlon's pancreas: synthetic, no patients",
        "licence": "of the program that wrote them",
        "tensorImageSize": "3D",
        "modality": {"0": "CT"},
        "labels": {"0": "background", "1": "pancreas", "2": "cancer"},
        "numTraining": len(names["imagesTr"]),
        "numTest": len(names["imagesTs"]),
        "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names["imagesTr"]],
        "test": [f"./imagesTs/{name}" for name in names["imagesTs"]],
    }
    with atomic_write(out / "dataset.json") as part:
        part.write_text(json.dumps(listing, indent=1) + "\n")


def _name(number: int) -> str:
    return f"pancreas_{number:03d}.nii.gz"
