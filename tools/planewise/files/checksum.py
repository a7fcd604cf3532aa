"""Identify a file, or the code of the package, by its content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits, like ``sha256sum``. The file is read in blocks."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            found.update(block)
    return found.hexdigest()


def digest(path: str | Path) -> str | None:
    """SHA-256 of a file's content; None if there is no such file."""
    path = Path(path).expanduser()
    return sha256(path) if path.is_file() else None


#: The subpackages that determine what a training learns.
_ROOMS = ("augmentation", "data", "engines", "geometry", "losses", "networks", "preprocessing", "pretexts")


def code_sha256(rooms: Sequence[str] = _ROOMS) -> str:
    """SHA-256 of the names and contents of the files in some subpackages, by default those that determine what a training
    learns."""
    found, package = hashlib.sha256(), Path(__file__).parents[1]
    for file in sorted(file for room in rooms for file in (package / room).rglob("*.py")):
        found.update(f"{file.relative_to(package).as_posix()} {sha256(file)}\n".encode())
    return found.hexdigest()
