"""Find volumes, as inputs of a network, at a path given by the user."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from planewise.data.datalist import gather_stacks
from planewise.data.inputs import found_at, refuse_one_name
from planewise.data.photograph_inputs import find_photographs
from planewise.errors import InputError
from planewise.exams import find_stacks
from planewise.exams.cases import read_cases
from planewise.exams.photographs import is_photograph
from planewise.exams.volume import nifti_files

#: Why a folder has no case of several channels.
NO_NIFTI = "no NIfTI file (convert DICOM series with dcm2niix, a file for each channel)"


def find_volumes(
    path: str | Path, section: str = "test", num_exams: int | None = None, channels: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Items for `planewise.preprocessing.LoadVolumed` from a path.

    Args:
        path: a NIfTI volume; a folder of volumes, or of cases with a file for each channel, as for `planewise index
            --anatomy volume`; a folder of DICOM series without NIfTI files, where each series is a case; a photograph,
            or a folder of photographs without volumes; or a datalist.
        section: section of a datalist; ``"all"`` for every exam.
        num_exams: largest number of inputs; None takes all.
        channels: endings of a case's file names, in order; empty if a case is one file.

    Returns:
        ``{"image": path}``, a list of paths for the channels, or a list of slices with the hash under ``exam``; always
        with the datalist's other keys.

    Raises:
        InputError: there is nothing at the path, or no volume in it.
    """
    found = found_at(
        path, section, "a volume, a folder of volumes", gather_stacks, partial(_from_files, channels=channels)
    )
    return found[:num_exams]


def _from_files(path: Path, channels: Sequence[str]) -> list[dict[str, Any]]:
    if path.is_file():
        return [{"image": str(path)}]
    files = nifti_files(path.rglob("*"))
    if not files and any(is_photograph(file) for file in path.rglob("*")):
        return find_photographs(path)
    if not files and not channels:
        return _from_dicom(path)
    found = read_cases(files, path, channels)
    if not found.volumes:
        reasons = "; ".join(f"{reason} ({len(paths)})" for reason, paths in found.skipped.items()) or NO_NIFTI
        raise InputError(f"there is no volume to use in {path}: {reasons}; name one, or a datalist, with --input")
    if not channels:
        refuse_one_name([case.image for case in found.volumes])
    return [{"image": [str(file) for file in case.channels] or str(case.image)} for case in found.volumes]


def _from_dicom(path: Path) -> list[dict[str, Any]]:
    """An item for each stack that is a volume."""
    try:
        stacks = find_stacks(path, "volume")
    except InputError as error:
        raise InputError(f"there is no NIfTI file in {path}, and {error}") from None
    if stacks[0].flag is not None:
        raise InputError(f"there is no volume to use in {path}: {stacks[0].flag}")
    return [{"image": stack.slices, "exam": stack.exam} for stack in stacks]
