"""Find photographs, as inputs of a network, at a path given by the user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from planewise.data.inputs import found_at, refuse_one_name
from planewise.errors import InputError
from planewise.exams.photographs import is_photograph, photograph_problem


def find_photographs(path: str | Path, section: str = "test", num_exams: int | None = None) -> list[dict[str, Any]]:
    """Items for `planewise.preprocessing.LoadPhotographd` from a path.

    Args:
        path: a photograph; a folder of photographs (other files are left out); or a datalist.
        section: section of a datalist.
        num_exams: largest number of photographs; None takes all.

    Returns:
        ``{"image": path}``, with the datalist's other keys.

    Raises:
        InputError: there is nothing at the path, or no photograph in it.
    """
    return found_at(path, section, "a photograph, a folder of them", list, _from_files)[:num_exams]


def _from_files(path: Path) -> list[dict[str, Any]]:
    if path.is_file():
        return [{"image": str(path)}]
    problems = {
        file: photograph_problem(file)
        for file in sorted(path.rglob("*"))
        if is_photograph(file) and file.name[0] != "." and file.is_file()
    }
    files = [file for file, problem in problems.items() if not problem]
    if not files:
        reasons = "; ".join(sorted({problem for problem in problems.values() if problem})) or "no PNG or JPEG file"
        raise InputError(f"there is no photograph to use in {path}: {reasons}; name one, or a datalist, with --input")
    refuse_one_name(files)
    return [{"image": str(file)} for file in files]
