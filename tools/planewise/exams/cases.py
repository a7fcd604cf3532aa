"""Cases of whole volumes: one NIfTI file each, or one for each channel, with a mask next to them or in a folder of masks
(tools/docs/datalist.md, "Whole volumes")."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from planewise.errors import InputError
from planewise.exams.volume import FoundVolumes, Skipped, Volume
from planewise.exams.volumes import (
    NO_IMAGE,
    SEVERAL_MASKS,
    TWICE,
    add_parallel_masks,
    apart_from_masks,
    find_own_volumes,
    is_usable,
    name_cases,
)
from planewise.files.names import case_and_channel, check_channels, nifti_files, stem
from planewise.findings import finding, said

#: BraTS' folders of high and low grade, and the endings of a case's files in the order of the channels; the last ones
#: since 2023.
GRADES = ("HGG", "LGG")
BRATS, BRATS_2023 = ("t1", "t1ce", "t2", "flair"), ("t1n", "t1c", "t2w", "t2f")

_MASK_NAMES = ("seg", "gt", "segmentation", "label", "labels", "mask", "masks")
#: BraTS names that end in the number of the scan: Brats18_TCIA01_201_1 (up to 2019) and BraTS-GLI-00000-000 (since 2023). In
#: BraTS20_Training_001, BraTS2021_00000 and BraTS-GoAT-00000, the only number is the patient's.
_BRATS_SCAN = re.compile(r"(brats[^_]*_[^_]+_.+)_\d+|(brats-.+-\d+)-\d+", re.IGNORECASE)


def read_cases(paths: Iterable[Path], folder: Path, channels: Sequence[str] = ()) -> FoundVolumes:
    """Cases with their masks, from NIfTI files below ``folder``. ``channels`` are the endings of a case's file names,
    in order; capitals do not matter; if empty, BraTS' channels if a case has them, otherwise one file per case.

    Raises:
        InputError: a channel is not a name.
    """
    skipped: Skipped = defaultdict(list)
    images, masks = apart_from_masks(paths, folder)
    found = check_channels(channels) or next(filter(None, map(_brats_channels, images.values())), ())
    cases: list[Volume] = []
    for home, files in images.items():
        own = _channel_cases(home, files, found, skipped) if found else find_own_volumes(files, skipped)
        # nnU-Net: imagesTr/CASE_0000.nii.gz, with the mask labelsTr/CASE.nii.gz
        if not found and home.name.startswith("images") and all(case_and_channel(path)[1] == 0 for path in files):
            for case in own:
                case.case, _ = case_and_channel(case.image)
        cases += own
    add_parallel_masks(cases, masks, skipped)
    kept = [case for case in cases if is_usable(case, skipped, whole=True)]
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
    read = read_cases(nifti_files(home.glob("*")), home, channels)
    found = [case.channels for case in read.volumes if path in (home, *case.channels)]
    if len(found) != 1:
        reasons = said(read.skipped) or "no NIfTI file ends in a channel"
        raise InputError(
            f"the folder has {len(found)} cases of {', '.join(channels)} ({reasons}); name a folder with one case, one of a "
            "case's files, or one 4D file that contains the channels (--channels names other endings); for cases of one "
            "file, train with --in_channels 1"
        )
    return list(found[0])


def _brats_channels(files: Sequence[Path]) -> tuple[str, ...]:
    """BraTS' four channels, by their names until 2021 or since 2023, if a folder has a case with all; otherwise empty."""
    names = {stem(path).lower() for path in files}
    for channels in ([f"_{name}" for name in BRATS], [f"-{name}" for name in BRATS_2023]):
        firsts = (name.removesuffix(channels[0]) for name in names if name.endswith(channels[0]))
        if any(all(f"{first}{channel}" in names for channel in channels) for first in firsts):
            return tuple(channel[1:] for channel in channels)
    return ()


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
