"""The part of nnU-Net's split that an image belongs to: ``imagesTs``, or the lists of a fold in ``splits_final.json``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from planewise.errors import InputError
from planewise.exams.cases import LISTING, read_listing
from planewise.exams.volume import Volume
from planewise.exams.volumes import IMAGE_FOLDER
from planewise.files.names import case_and_channel, stem
from planewise.files.text import read_json

SPLITS = "splits_final.json"
TRAIN, VAL = (f"{part} of fold 0 in {SPLITS}" for part in ("train", "val"))
TRAINING, TEST = "imagesTr", "imagesTs"


def nnunet_part(place: object) -> str | None:
    """``imagesTs``; `TRAIN` or `VAL` if fold 0 names the case; or ``imagesTr``. None for an image in another layout, such as
    that of the Medical Segmentation Decathlon, whose ``dataset.json`` lists its images.

    Raises:
        InputError: ``splits_final.json`` is not a list of folds.
    """
    if not isinstance(place, Volume) or (fold := _fold_of(place)) is None:
        return None
    if place.folder.name == TEST:
        return TEST
    return next((fold[name] for name in _names(place) if name in fold), TRAINING)


def _names(volume: Volume) -> tuple[str, str]:
    """The names that a case may have in a fold: without the number of its channel, and the file's."""
    return case_and_channel(volume.image)[0], stem(volume.image)


def _fold_of(volume: Volume) -> Mapping[str, str] | None:
    """The part of each case in fold 0, empty without ``splits_final.json``; None for an image in another layout."""
    if not volume.key.startswith("nifti:") or not IMAGE_FOLDER.fullmatch(volume.folder.name):
        return None
    home = volume.folder.absolute().parent
    # nnU-Net trains with the file in its folder of preprocessed data
    splits = home.parents[1] / "nnUNet_preprocessed" / home.name / SPLITS if len(home.parents) > 1 else home / SPLITS
    files = [file for file in (home / LISTING, splits, home / SPLITS) if file.is_file()]
    return _read(tuple((file, file.stat().st_mtime_ns) for file in files))


@lru_cache(maxsize=8)  # the images of a data set share these files; a changed file has another time
def _read(files: tuple[tuple[Path, int], ...]) -> Mapping[str, str] | None:
    for file, _ in files:
        if file.name == SPLITS:
            return _read_fold(file)
        try:
            if read_listing(file) is not None:
                return None
        except InputError:
            continue  # `read_cases` reports it
    return {}


def _read_fold(path: Path) -> Mapping[str, str]:
    content: Any = read_json(path)
    try:
        fold = {str(case): part for part, key in ((VAL, "val"), (TRAIN, "train")) for case in content[0][key]}
    except (LookupError, TypeError):
        raise InputError(
            f"{path} must be nnU-Net's list of folds, each with the cases of train and val; copy it again, or divide the "
            "patients without it (--division hash)"
        ) from None
    return fold
