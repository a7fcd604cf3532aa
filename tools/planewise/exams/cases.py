"""Cases of whole volumes: one NIfTI file each, or one for each channel, with a mask next to them or in a folder of
masks.

The rule
--------
- A file whose name ends in the name of a channel (``case_t1``, ``case_t1ce``, ``case_t2``, ``case_flair``) is one
  channel of a case. The channels have the order in which they are named. Every other file is a case of its own. If
  files are named by the channel alone (``17/flair``), the case has the name of their folder. BraTS' four channels are
  found without their names if a case has all four, and so are nnU-Net's (``imagesTr/case_0000``, ``case_0001``, ...).
- The mask of a case is ``case_seg`` (or ``_gt``, ``_label``, ``_mask``) in the same folder, or the file of the same
  name in the parallel folder of masks: ``labelsTr`` for ``imagesTr``, ``labels`` or ``masks`` for ``images``. If a
  Medical Segmentation Decathlon ``dataset.json`` lists images, the list decides, and files that it does not name are
  left out.
- A case has three dimensions, and its channels and its mask share one grid. The mask's axes may have another order and other
  directions.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

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
from planewise.files.names import BRATS, BRATS_2023, case_and_channel, check_channels, nifti_files, stem
from planewise.files.nifti import UNREADABLE, open_nifti, states_orientation
from planewise.files.text import read_json
from planewise.findings import Finding, finding, said

#: BraTS' folders of high and low grade.
GRADES = ("HGG", "LGG")

#: The Medical Segmentation Decathlon's list of images and masks.
LISTING = "dataset.json"

#: Files with more different numbers than this are not likely to be the channels of a case.
_MOST_CHANNELS = 10
_MASK_NAMES = ("seg", "gt", "segmentation", "label", "labels", "mask", "masks")
#: BraTS names that end in the number of the scan: Brats18_TCIA01_201_1 (up to 2019) and BraTS-GLI-00000-000 (since 2023). In
#: BraTS20_Training_001, BraTS2021_00000 and BraTS-GoAT-00000, the only number is the patient's.
_BRATS_SCAN = re.compile(r"(brats[^_]*_[^_]+_.+)_\d+|(brats-.+-\d+)-\d+", re.IGNORECASE)


def read_cases(paths: Iterable[Path], folder: Path, channels: Sequence[str] = ()) -> FoundVolumes:
    """Cases with their masks, from NIfTI files.

    Args:
        paths: paths of the files.
        folder: folder that contains them.
        channels: endings of a case's file names, in order; capitals do not matter; if empty, BraTS' or nnU-Net's channels if
            a case has them, otherwise one file per case.

    Raises:
        InputError: a channel is not a name; or some cases have BraTS' four channels and others, listed in
            ``dataset.json``, have one file; one network cannot take both.
    """
    skipped: Skipped = defaultdict(list)
    images, pool = defaultdict(list), defaultdict(list)
    for path in paths:
        if MASK_FOLDER.match(path.parent.name) and path.parent != folder:
            pool[path.parent.parent, stem(path)].append(path)
        else:
            images[path.parent].append(path)
    cases: list[Volume] = []
    listings = {}
    for home in {*(folder.parent for folder in images), *(folder for folder, _ in pool)}:
        try:
            listings[home] = read_listing(home / LISTING)
        except InputError:
            listings[home] = None
            skipped[finding("input-lacks", table=LISTING, what="images and masks", kind="table")].append(
                str(home / LISTING)
            )
    found = check_channels(channels) or next(filter(None, map(_brats_channels, images.values())), ())
    if not found:
        # files that have their own masks are cases, not channels: pancreas_0000 and pancreas_0001
        unlisted = [
            (home, files)
            for home, files in images.items()
            if listings[home.parent] is None and not any((home.parent, stem(path)) in pool for path in files)
        ]
        found = max((_nnunet_channels(home, files) for home, files in unlisted), default=())
    for home, files in images.items():
        listed = listings[home.parent]
        if listed is not None:
            cases += _listed_cases(files, listed, skipped)
            continue
        own = _channel_cases(home, files, found, skipped) if found else find_own_volumes(files, skipped)
        # nnU-Net: imagesTr/CASE_0000.nii.gz, with the mask labelsTr/CASE.nii.gz
        only_channel = home.name.startswith("images") and all(case_and_channel(path)[1] == 0 for path in files)
        for case in own:
            if only_channel and not found:
                case.case, _ = case_and_channel(case.image)
            if case.label is None:
                name = case.case if found or only_channel else stem(case.image)
                masks = pool.pop((home.parent, name), [])
                if len(masks) > 1:
                    skipped[SEVERAL_MASKS] += map(str, masks)
                else:
                    case.label = next(iter(masks), None)
        cases += own
    if any(case.channels for case in cases) and not all(case.channels for case in cases):
        raise InputError(
            f"{folder} contains cases of {len(found)} channels and, in a {LISTING}, cases of one file; index each "
            "folder separately"
        )
    used = {case.label for case in cases}
    skipped[NO_IMAGE] += [
        str(path) for (home, _), masks in pool.items() if listings[home] is None for path in masks if path not in used
    ]
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
    """The files of a case, from its folder or from the file of one of its channels.

    Args:
        path: a folder with the channels of one case; or the file of a channel, next to the others.
        channels: see `read_cases`.

    Returns:
        A file for each channel, in order.

    Raises:
        InputError: there is no case with all channels, or more than one. The message does not contain the path.
    """
    home = path if path.is_dir() else path.parent
    files = nifti_files(home.glob("*"))
    if path != home:
        start = _case_name(path, channels)
        files = [file for file in files if _case_name(file, channels) == start]
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


def _case_name(path: Path, channels: Sequence[str]) -> str:
    """``17`` from ``17_flair``; empty for ``flair``, and the whole name for a file that is not a channel."""
    return _without(stem(path), _ending(stem(path), channels))


def read_listing(path: Path) -> dict[Path, Path | None] | None:
    """Map each image to its mask, from a decathlon ``dataset.json``; None if the file does not exist or does not list
    images, like that of nnU-Net.

    Raises:
        InputError: the file cannot be read, or its list is broken.
    """
    if not path.is_file():
        return None
    content = read_json(path)
    if isinstance(content, dict) and "training" not in content:
        return None
    try:
        entries = [(entry["image"], entry["label"]) for entry in content["training"]]
        entries += [(entry["image"] if isinstance(entry, dict) else entry, None) for entry in content.get("test") or []]
        return {path.parent / image: path.parent / label if label else None for image, label in entries}
    except (LookupError, TypeError) as error:
        raise InputError(
            f"{path}: training must list an image and a label for each case ({error!r}); copy the file again"
        ) from None


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


def _listed_cases(files: Sequence[Path], listed: dict[Path, Path | None], skipped: Skipped) -> list[Volume]:
    cases = []
    for path in files:
        if path not in listed:
            skipped[finding("file-not-used", kind="listing")].append(str(path))
            continue
        mask = listed[path]
        if mask is not None and not mask.is_file():
            skipped[finding("input-lacks", kind="mask")].append(str(path))
            mask = None
        cases.append(Volume(path, mask, stem(path)))
    return cases


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
            skipped[_no_channel(path, channels)].append(str(path))
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


def _no_channel(path: Path, channels: Sequence[str]) -> Finding:
    """Why a file among files of one channel each is not used: it may contain all channels."""
    with suppress(*UNREADABLE):
        if open_nifti(path).shape[3:] == (len(channels),):
            return finding("nifti-image", kind="volumes", count=len(channels))
    return finding("file-not-used", kind="channel", channels=", ".join(channels))


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
        problem = problem or _not_a_volume(image.shape)
        if not problem and reference is not None:
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


def _not_a_volume(shape: tuple[int, ...]) -> Finding | None:
    if len(shape) == 4 and shape[3] > 1:
        return finding("nifti-image", kind="volumes", count=shape[3])
    return finding("nifti-image", kind="flat", least=MIN_SLICES) if min(shape[:3]) < MIN_SLICES else None
