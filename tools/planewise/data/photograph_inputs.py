"""Find photographs for a network at a path that the user gives."""

from __future__ import annotations

import logging
from collections import defaultdict
from pathlib import Path
from typing import Any

from planewise.data.inputs import found_at, refuse_one_name
from planewise.errors import InputError
from planewise.exams.files_below import files_below
from planewise.exams.photographs import OTHER_FILE, is_photograph, photograph_problem
from planewise.exams.words import count_of, some_of
from planewise.preprocessing.exam_name import stem

logger = logging.getLogger(__name__)


def find_photographs(path: str | Path, section: str = "test", num_exams: int | None = None) -> list[dict[str, Any]]:
    """Find items for `planewise.preprocessing.LoadPhotographd` at a path.

    Args:
        path: a photograph; a folder of photographs, whose other files are left out and, except tables, logged; or a datalist.
        section: section of a datalist.
        num_exams: maximum number of photographs; None takes all.

    Returns:
        For each photograph ``{"image": path}``; those of a folder also have the file's stem as ``exam``, and items of a
        datalist keep their other keys.

    Raises:
        InputError: the path does not exist, or contains no photograph, or several with one name.
    """
    return found_at(path, section, "a photograph, a folder of photographs", list, _from_files)[:num_exams]


def _from_files(path: Path) -> list[dict[str, Any]]:
    if path.is_file():
        return [{"image": str(path)}]
    found: dict[str, list[Path]] = defaultdict(list)
    for file in sorted(map(Path, files_below(path))):
        if file.name[0] != "." and file.suffix.lower() != ".csv" and file.is_file():
            found[photograph_problem(file) if is_photograph(file) else OTHER_FILE].append(file)
    files = found.pop("", [])
    if not files:
        reasons = "; ".join(sorted(found.keys() - {OTHER_FILE})) or "no PNG or JPEG file"
        raise InputError(f"there is no photograph to use in {path}: {reasons}; name one, or a datalist, with --input")
    refuse_one_name(map(stem, files), "photograph")
    for problem, others in sorted(found.items()):
        names = some_of([file.name for file in others])
        logger.warning("left out: %s, %s: %s", count_of(len(others), "file"), problem, names)
    return [{"image": str(file), "exam": file.stem} for file in files]
