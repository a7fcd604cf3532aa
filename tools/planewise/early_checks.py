"""Checks of paths that a command makes before it imports anything large, and before long work."""

from __future__ import annotations

import os
from pathlib import Path

from planewise.errors import InputError

#: What the argument EXAM of `planewise plan` and `planewise segment` may be.
EXAM = "EXAM must be a folder of DICOM files, a NIfTI volume of the short axis or a datalist"
#: What the arguments of `planewise compare` may be.
IMAGES = "name a datalist, or a folder that contains exams"


def _expanded(path: Path) -> Path:
    """The path with the home folder instead of ``~``; Path.expanduser raises an error for an unknown user."""
    return Path(os.path.expanduser(path))


def refuse_missing(path: Path, wanted: str) -> None:
    """Raise `InputError` if a path does not exist.

    Args:
        path: the path.
        wanted: what it must be, in words.
    """
    if not _expanded(path).exists():
        raise InputError(f"there is no {path}; {wanted}")


def refuse_no_folder(folder: str | Path) -> None:
    """Raise `InputError` if a folder of exams does not exist, or is a file."""
    # os.path is used, because the methods of Path raise errors for unknown users and long names
    folder = os.path.expanduser(folder)
    if not os.path.isdir(folder):
        what = "is a file" if os.path.isfile(folder) else "does not exist"
        raise InputError(f"{folder} {what}; name a folder that contains exams")


def refuse_no_datalist(path: Path) -> None:
    """Raise `InputError` if a datalist does not exist, or is a folder."""
    path = _expanded(path)
    if path.is_dir():
        raise InputError(
            f"{path} is a folder, not a datalist; make one with `planewise index {path} -o {path}.json` and name it with "
            "--datalist"
        )
    if not path.is_file():
        raise InputError(
            f"there is no datalist {path}; make one with `planewise index FOLDER -o {path}`, or name another one (in the run "
            "of a bundle: --datalist)"
        )


def refuse_unwritable(folder: Path) -> None:
    """Raise `InputError` if no file can be written to a folder, which may be new."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        raise InputError(f"cannot write to {folder}; name another folder with -o")
