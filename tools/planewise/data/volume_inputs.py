"""Find volumes for a network at a path that the user gives."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from os.path import relpath
from pathlib import Path
from typing import Any

from planewise.data.datalist import gather_stacks
from planewise.data.inputs import found_at, refuse_one_name, without_label_maps
from planewise.data.photograph_inputs import find_photographs
from planewise.errors import InputError
from planewise.exams.cases import read_cases
from planewise.exams.files_below import files_below
from planewise.exams.input_stacks import find_stacks
from planewise.exams.mask_checks import refuse_mask
from planewise.exams.photographs import is_photograph
from planewise.exams.volume import common_name, nifti_files
from planewise.exams.words import some_of
from planewise.nifti_files import is_nifti
from planewise.preprocessing.exam_name import stem

logger = logging.getLogger(__name__)

#: The reason why a folder contains no case with several channels.
NO_NIFTI = "no NIfTI file (convert DICOM series with dcm2niix, one file for each channel)"


def find_volumes(
    path: str | Path, section: str = "test", num_exams: int | None = None, channels: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Find items for `planewise.preprocessing.LoadVolumed` at a path.

    Args:
        path: one of

            - a NIfTI volume;
            - a folder of volumes, or of cases with one file per channel, as for `planewise index --anatomy volume`;
            - a folder of DICOM series without NIfTI files; each series is a case;
            - a photograph, or a folder of photographs without volumes;
            - a datalist.
        section: section of a datalist; ``"all"`` for every exam.
        num_exams: maximum number of inputs; None takes all.
        channels: endings of a case's file names, in order; empty if a case is a single file.

    Returns:
        Items whose ``image`` is a path, a list of paths (one per channel), or a list of slices. A stack of slices has
        its hash under ``exam``. Items of a datalist keep their other keys. The log names the files that are left
        out.

    Raises:
        InputError: the path does not exist, is a mask, contains no volume, or contains inputs of the same name.
    """
    found = found_at(
        path, section, "a volume, a folder of volumes", gather_stacks, partial(_from_files, channels=channels)
    )
    return found[:num_exams]


def _from_files(path: Path, channels: Sequence[str]) -> list[dict[str, Any]]:
    if path.is_file():
        if is_nifti(path):
            refuse_mask(path)
        return [{"image": str(path)}]
    below = [Path(file) for file in files_below(path)]
    files = nifti_files(below)
    if not files and any(map(is_photograph, below)):
        return find_photographs(path)
    if not files and not channels:
        return _from_dicom(path)
    found = read_cases(files, path, channels)
    if not found.volumes:
        reasons = "; ".join(f"{reason} ({len(paths)})" for reason, paths in found.skipped.items()) or NO_NIFTI
        single = ", or set --channels '[]' if each case is a single file" if channels else ""
        raise InputError(
            f"there is no volume to use in {path}: {reasons}; name one, or a datalist, with --input{single}"
        )
    for reason, paths in found.skipped.items():
        if "mask" not in reason:
            names = [relpath(file, path) for file in paths]
            logger.warning("left out: %s (%d: %s)", reason, len(names), some_of(names))
    if not channels:
        images = set(without_label_maps([case.image for case in found.volumes]))
        found.volumes = [case for case in found.volumes if case.image in images]
    names = [common_name(case.channels) if case.channels else stem(case.image) for case in found.volumes]
    refuse_one_name(names, "volume")
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
