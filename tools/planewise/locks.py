"""Reserve a folder for one process."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from planewise.errors import InputError
from planewise.files.atomic_write import unwritable

#: The locks of this process, each of which lasts until the process ends.
_held: dict[Path, FileLock] = {}


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
