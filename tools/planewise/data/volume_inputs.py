"""Inputs of a network of volumes: items from a path given by the user."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from planewise.data.datalist import gather_stacks
from planewise.data.inputs import found_at, refuse_one_name
from planewise.data.photograph_inputs import find_photographs
from planewise.errors import InputError
from planewise.exams.photographs import is_photograph


def find_volumes(
    path: str | Path, section: str = "test", num_exams: int | None = None, channels: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Items for `planewise.preprocessing.LoadVolumed` from a path.

    Args:
        path: a NIfTI volume; a folder of volumes, or of cases with a file for each channel, as `planewise index --anatomy
            volume` finds them; a photograph, or a folder of photographs without volumes; or a datalist.
        section: section of a datalist; ``"all"`` for every exam.
        num_exams: largest number of inputs; None takes all.
        channels: how the files of a case end, in order; none where a file is a case.

    Returns:
        ``{"image": path}``, or a list of paths for the channels; with what else a datalist says.

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
    # only here are the rules for folders needed
    from planewise.exams.cases import read_cases
    from planewise.exams.volume import nifti_files

    files = nifti_files(path.rglob("*"))
    if not files and any(is_photograph(file) for file in path.rglob("*")):
        return find_photographs(path)
    cases, skipped, _ = read_cases(files, path, channels)
    if not cases:
        reasons = "; ".join(f"{reason} ({len(paths)})" for reason, paths in skipped.items()) or "no NIfTI file"
        raise InputError(f"there is no volume to use in {path}: {reasons}; name one, or a datalist, with --input")
    if not channels:
        refuse_one_name([case.image for case in cases])
    return [{"image": [str(file) for file in case.channels] or str(case.image)} for case in cases]
