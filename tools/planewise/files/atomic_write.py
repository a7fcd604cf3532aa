"""Files that are either complete or absent, and folders that one process reserves."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from planewise.errors import InputError

#: Ending of a file that is still being written, or of a killed process.
TEMPORARY = ".tmp"
#: The locks of this process, each of which lasts until the process ends.
_held: dict[Path, FileLock] = {}


@contextmanager
def atomic_write(path: str | Path, flush: bool = False, ending: str = "") -> Iterator[Path]:
    """Yield a temporary path; on exit, the file written there replaces the file at ``path`` in one step. If the process is
    killed or the disk is full, the earlier file stays unchanged. Missing parent folders are created.

    Args:
        flush: wait until the file is on the disk, so that a power cut leaves either the old or the new file.
        ending: ending of the temporary name, such as ``".nii.gz"``, for writers that derive the format from it.

    Raises:
        InputError: the file cannot be written, or the path is a device or a pipe, which the new file would replace.
    """
    path = Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise InputError(f"{path} is a device or a pipe, which writing would replace; name an ordinary file")
    part = path.with_name(f"{path.stem}.{os.getpid()}{TEMPORARY}{ending}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        if flush:
            _flush(part)
        os.replace(part, path)
        if flush:
            _flush(path.parent)  # the folder stores the file's new name
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with suppress(OSError):  # the parent may be a file instead of a folder, or belong to another user
            part.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unwritable(path: Path, error: OSError) -> InputError:
    """The message for a file or folder that cannot be written."""
    there = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free / 2**20
    return InputError(
        f"{path} cannot be written ({error.strerror or error}; {free:.0f} MiB are free there); make room, or "
        "name a folder that can be written to"
    )


def claim_folder(folder: Path) -> None:
    """Create a folder, and reserve it for this process until it ends, for any reason; claiming it again in the same process
    has no effect.

    Raises:
        InputError: another process has reserved the folder, or it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        place = folder.resolve()
        # one lock for all copies of this module: servers unload a bundle's code and load it again
        lock = FileLock(place / "run.lock", timeout=0, thread_local=False, is_singleton=True)
        lock.acquire()
    except Timeout:
        raise InputError(
            f"{folder} is in use by another run; wait until it ends, or choose another output folder"
        ) from None
    except OSError as error:
        raise unwritable(folder, error) from error
    _held[place] = lock
