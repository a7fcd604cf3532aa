"""Identify a file, or the code of the package, by its content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits, like ``sha256sum``. The file is read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


#: The rooms of the package that determine what a training learns.
_ROOMS = ("augmentation", "data", "engines", "geometry", "losses", "networks", "preprocessing", "pretexts")


def code_sha256(package: Path = Path(__file__).parent, rooms: Sequence[str] = _ROOMS, modules: bool = False) -> str:
    """SHA-256 of the code in some rooms of the package, by default of all code that determines what a training learns: names
    and contents of its files; with ``modules``, also of the package's top-level modules."""
    digest = hashlib.sha256()
    top = package.glob("*.py") if modules else ()
    for file in sorted([*top, *(file for room in rooms for file in (package / room).rglob("*.py"))]):
        digest.update(f"{file.relative_to(package).as_posix()} {sha256(file)}\n".encode())
    return digest.hexdigest()
