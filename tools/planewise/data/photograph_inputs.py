"""Find photographs for a network at a path that the user gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from planewise.data.inputs import found_at, refuse_one_name
from planewise.errors import InputError
from planewise.exams.files_below import files_below
from planewise.exams.photographs import is_photograph, photograph_problem
from planewise.preprocessing.exam_name import stem


def find_photographs(path: str | Path, section: str = "test", num_exams: int | None = None) -> list[dict[str, Any]]:
    """Find items for `planewise.preprocessing.LoadPhotographd` at a path.

    Args:
        path: a photograph; a folder of photographs (other files are left out); or a datalist.
        section: section of a datalist.
        num_exams: maximum number of photographs; None takes all.

    Returns:
        For each photograph ``{"image": path}``; items of a datalist keep their other keys.

    Raises:
        InputError: the path does not exist, or contains no photograph.
    """
    return found_at(path, section, "a photograph, a folder of photographs", list, _from_files)[:num_exams]


def _from_files(path: Path) -> list[dict[str, Any]]:
    if path.is_file():
        return [{"image": str(path)}]
    problems = {
        file: photograph_problem(file)
        for file in sorted(map(Path, files_below(path)))
        if is_photograph(file) and file.name[0] != "." and file.is_file()
    }
    files = [file for file, problem in problems.items() if not problem]
    if not files:
        reasons = "; ".join(sorted({problem for problem in problems.values() if problem})) or "no PNG or JPEG file"
        raise InputError(f"there is no photograph to use in {path}: {reasons}; name one, or a datalist, with --input")
    refuse_one_name(map(stem, files))
    return [{"image": str(file)} for file in files]
