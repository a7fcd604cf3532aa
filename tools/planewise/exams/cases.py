"""Cases of whole volumes: one NIfTI file each, or one for each channel, with a mask next to them or in a folder of masks.

The rule
--------
- A file whose name ends in the name of a channel (``case_t1``, ``case_t1ce``, ``case_t2``, ``case_flair``) is one
  channel of a case. The channels have the order in which they are named. Every other file is a case of its own. If
  files are named by the channel alone (``17/flair``), the case has the name of their folder. BraTS' four channels are
  found without their names if a case has all four, and so are nnU-Net's (``imagesTr/case_0000``, ``case_0001``, ...).
- The mask of a case is ``case_seg`` (or ``_gt``, ``_label``, ``_mask``) in the same folder, or the file of the same
  name in the parallel folder of masks: ``labelsTr`` for ``imagesTr``, ``labels`` or ``masks`` for ``images``.
- A case has three dimensions, and its channels and its mask share one grid, but the mask's axes may be turned.
- nnU-Net's ``imagesTs`` and the lists of fold 0 in ``splits_final.json`` are parts of its split (`nnunet_part`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from planewise.errors import InputError
from planewise.exams.any_organ import MIN_SLICES
from planewise.exams.volume import FoundVolumes, Skipped, Volume
from planewise.exams.volumes import (
    IMAGE_FOLDER,
    MASK_FOLDER,
    NO_IMAGE,
    SEVERAL_MASKS,
    TWICE,
    find_own_volumes,
    grid_problem,
    mask_on_grid,
    name_cases,
    open_image,
)
from planewise.files.names import case_and_channel, check_channels, nifti_files, stem
from planewise.files.nifti import states_orientation
from planewise.files.text import read_json
from planewise.findings import finding, said

#: BraTS' folders of high and low grade, and the endings of a case's files in the order of the channels; the last ones
#: since 2023.
GRADES = ("HGG", "LGG")
BRATS, BRATS_2023 = ("t1", "t1ce", "t2", "flair"), ("t1n", "t1c", "t2w", "t2f")

#: The Medical Segmentation Decathlon's list of images and masks.
LISTING = "dataset.json"

#: Files with more different numbers than this are not likely to be the channels of a case.
_MOST_CHANNELS = 10
_MASK_NAMES = ("seg", "gt", "segmentation", "label", "labels", "mask", "masks")
#: BraTS names that end in the number of the scan: Brats18_TCIA01_201_1 (up to 2019) and BraTS-GLI-00000-000 (since 2023). In
#: BraTS20_Training_001, BraTS2021_00000 and BraTS-GoAT-00000, the only number is the patient's.
_BRATS_SCAN = re.compile(r"(brats[^_]*_[^_]+_.+)_\d+|(brats-.+-\d+)-\d+", re.IGNORECASE)


def read_cases(paths: Iterable[Path], folder: Path, channels: Sequence[str] = ()) -> FoundVolumes:
    """Cases with their masks, from NIfTI files below ``folder``. ``channels`` are the endings of a case's file names,
    in order; capitals do not matter; if empty, BraTS' or nnU-Net's channels if a case has them, otherwise one file
    per case.

    Raises:
        InputError: a channel is not a name.
    """
    skipped: Skipped = defaultdict(list)
    images, pool = defaultdict(list), defaultdict(list)
    for path in paths:
        if MASK_FOLDER.match(path.parent.name) and path.parent != folder:
            pool[path.parent.parent, stem(path)].append(path)
        else:
            images[path.parent].append(path)
    cases: list[Volume] = []
    found = check_channels(channels) or next(filter(None, map(_brats_channels, images.values())), ())
    if not found:
        # files that have their own masks are cases, not channels: pancreas_0000 and pancreas_0001
        without = [item for item in images.items() if not any((item[0].parent, stem(path)) in pool for path in item[1])]
        found = max((_nnunet_channels(home, files) for home, files in without), default=())
    for home, files in images.items():
        own = _channel_cases(home, files, found, skipped) if found else find_own_volumes(files, skipped)
        # nnU-Net: imagesTr/CASE_0000.nii.gz, with the mask labelsTr/CASE.nii.gz
        only_channel = home.name.startswith("images") and all(case_and_channel(path)[1] == 0 for path in files)
        for case in own:
            if only_channel and not found:
                case.case, _ = case_and_channel(case.image)
            if case.label is None:
                name = case.case if found or only_channel else stem(case.image)
                masks = pool.pop((home.parent, name), [])
                case.label = masks[0] if len(masks) == 1 else None
                skipped[SEVERAL_MASKS] += map(str, masks if len(masks) > 1 else ())
        cases += own
    skipped[NO_IMAGE] += [str(path) for masks in pool.values() for path in masks]
    kept = [case for case in cases if _check(case, skipped)]
    name_cases(kept, folder)
    for case in kept:
        if scan := _BRATS_SCAN.fullmatch(case.case):
            case.patient_key = f"nifti:{scan[1] or scan[2]}"
        grade = next((part for part in reversed(case.folder.parts) if part in GRADES), "")
        if grade and case.channels:
            case.group, case.classes = grade, {"grade": grade}
    return FoundVolumes(kept, {reason: left_out for reason, left_out in skipped.items() if left_out}, channels=found)


def channels_of_case(path: Path, channels: Sequence[str]) -> list[Path]:
    """The files of a case, one for each channel, from its folder or from the file of one of its channels.

    Raises:
        InputError: there is no case with all channels, or more than one. The message does not contain the path.
    """
    home = path if path.is_dir() else path.parent
    files = nifti_files(home.glob("*"))
    if path != home:
        names = {file: stem(file) for file in (path, *files)}
        cases = {file: _without(name, _ending(name, channels)) for file, name in names.items()}
        files = [file for file in files if cases[file] == cases[path]]
    read = read_cases(files, home, channels)
    found = [case.channels for case in read.volumes if case.channels]
    if len(found) != 1:
        reasons = said(read.skipped) or "no NIfTI file ends in a channel"
        what = (
            f"contains {len(found)} cases"
            if found
            else f"has no case of {', '.join(channels)} ({reasons}; --channels names other endings)"
        )
        raise InputError(
            f"the folder {what}; name a folder with one case, one of a case's files, or one 4D file that contains the "
            "channels; for cases of one file, train with --in_channels 1"
        )
    return list(found[0])


def names_of_labels(path: Path) -> dict[int, str]:
    """The names that a ``dataset.json`` gives to the values of masks: nnU-Net has ``{"kidney": 1}``, the Decathlon
    ``{"1": "kidney"}``. Empty if the file does not exist or cannot be read."""
    try:
        content = read_json(path)
    except InputError:
        return {}
    labels = content.get("labels") if isinstance(content, dict) else None
    names = {}
    for key, value in labels.items() if isinstance(labels, dict) else ():
        name, number = (value, key) if isinstance(value, str) else (key, value)
        if str(number).isdecimal() and name.strip():
            names[int(number)] = name.strip()
    return names


def _brats_channels(files: Sequence[Path]) -> tuple[str, ...]:
    """BraTS' four channels, by their names until 2021 or since 2023, if a folder has a case with all; otherwise empty."""
    names = {stem(path).lower() for path in files}
    for channels in ([f"_{name}" for name in BRATS], [f"-{name}" for name in BRATS_2023]):
        firsts = (name.removesuffix(channels[0]) for name in names if name.endswith(channels[0]))
        if any(all(f"{first}{channel}" in names for channel in channels) for first in firsts):
            return tuple(channel[1:] for channel in channels)
    return ()


def _nnunet_channels(home: Path, files: Sequence[Path]) -> tuple[str, ...]:
    """The endings ``0000``, ``0001``, ... of nnU-Net's channels, if a folder has its layout and cases of several channels."""
    numbers = {case_and_channel(path)[1] for path in files}
    several = IMAGE_FOLDER.fullmatch(home.name) and 1 < len(numbers) <= _MOST_CHANNELS
    several = several and numbers == set(range(len(numbers)))
    return tuple(f"{number:04d}" for number in range(len(numbers))) if several else ()


def _channel_cases(home: Path, files: Sequence[Path], channels: Sequence[str], skipped: Skipped) -> list[Volume]:
    """The cases of a folder whose files are named by their channels."""
    of_case: dict[str, dict[str, Path]] = defaultdict(dict)
    masks: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        name = stem(path)
        if channel := _ending(name, channels):
            case = of_case[_without(name, channel) or home.name]
            if channel in case:
                skipped[TWICE].append(str(case[channel]))
            case[channel] = path
        elif ending := _ending(name, _MASK_NAMES):
            masks[_without(name, ending) or home.name].append(path)
        else:
            skipped[finding("file-not-used", kind="channel", channels=", ".join(channels))].append(str(path))
    cases = []
    for name, there in of_case.items():
        own = masks.pop(name, [])
        missing = [channel for channel in channels if channel not in there]
        if missing:
            incomplete = finding("input-lacks", kind="channel", missing=missing)
            skipped[incomplete].append(str(next(iter(there.values()))))
            continue
        if len(own) > 1:
            skipped[SEVERAL_MASKS] += map(str, own)
        ordered = tuple(there[channel] for channel in channels)
        cases.append(Volume(ordered[0], own[0] if len(own) == 1 else None, name, channels=ordered))
    skipped[NO_IMAGE] += [str(path) for own in masks.values() for path in own]
    return cases


def _ending(name: str, endings: Sequence[str]) -> str:
    """The word that a name ends in or consists of; empty if none."""
    lower = name.lower()
    return next((word for word in endings if lower == word or lower.endswith((f"_{word}", f"-{word}"))), "")


def _without(name: str, ending: str) -> str:
    return name[: len(name) - len(ending)].rstrip("_-")


def _check(case: Volume, skipped: Skipped) -> bool:
    """Whether a case can be used; a mask on another grid is removed."""
    reference = None
    for path in case.channels or (case.image,):
        image, problem = open_image(path)
        if not problem and len(image.shape) == 4 and image.shape[3] > 1:
            problem = finding("nifti-image", kind="volumes", count=image.shape[3])
        elif not problem and min(image.shape[:3]) < MIN_SLICES:
            problem = finding("nifti-image", kind="flat", least=MIN_SLICES)
        elif not problem and reference is not None:
            problem = grid_problem(path, reference.shape, reference.affine)
        if problem:
            skipped[problem].append(str(path))
            return False
        if reference is None:
            reference, case.oriented = image, states_orientation(image.header)
    if case.label is not None:
        problem, case.label_axes = mask_on_grid(case.label, reference.shape, reference.affine)
        if problem:
            skipped[problem.about("mask")].append(str(case.label))
            case.label = None
    return True


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
    names = case_and_channel(place.image)[0], stem(place.image)
    return TEST if place.folder.name == TEST else next((fold[name] for name in names if name in fold), TRAINING)


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
        with suppress(InputError):
            content = read_json(file)
            if isinstance(content, dict) and "training" in content:  # the Decathlon's list
                return None
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
