"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from planewise.errors import InputError

#: How the name ends of a file that is being written; one that is left over is of a process that was killed.
TEMPORARY = ".tmp"


@contextmanager
def written_whole(path: str | Path, flush: bool = False) -> Iterator[Path]:
    """Where to write a file that then takes its place in one step.

    ``with written_whole(path) as part: part.write_text(...)``. A process that is killed, or a disk that is full, leaves the
    file that was there before. Folders above it are made.

    Args:
        path: the file.
        flush: wait until the disk has the file, so that a power cut leaves the old file or the new one.

    Raises:
        InputError: the file cannot be written; it says why, and how much room there is.
    """
    path = Path(path)
    part = path.with_name(f"{path.stem}.{os.getpid()}{TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        if flush:
            _flush(part)
        os.replace(part, path)
        if flush:
            _flush(path.parent)  # the name is the folder's content
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with suppress(OSError):  # the folder may be a file, or somebody else's
            part.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unwritable(path: Path, error: OSError) -> InputError:
    """What to say of a file or folder that cannot be written."""
    there = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free / 2**20
    return InputError(
        f"{path} cannot be written ({error.strerror or error}; {free:.0f} MiB are free there); make room, or name a folder "
        "that can be written to"
    )
