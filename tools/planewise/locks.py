"""Locks that one process at a time can hold. They are released when the process ends, for any reason."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from pathlib import Path
from typing import IO

from planewise.atomic_write import unwritable
from planewise.errors import InputError

logger = logging.getLogger(__name__)

#: Maps each folder that this process has locked to its open lock file. The lock lasts until the process ends.
_held: dict[Path, IO[str]] = {}


def lock(file: IO[str], wait: bool) -> bool:
    """Lock an open file. The lock is released when the file is closed or the process ends.

    If the file system has no locks, the process logs a warning and continues without a lock.

    Args:
        file: the file, open for writing.
        wait: whether to wait while another process holds the lock.

    Returns:
        False if another process holds the lock and ``wait`` is False; otherwise True.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            raise
        logger.warning(
            "this file system has no locks; make sure that no other process uses the folder of %s", Path(file.name).name
        )
    return True


def claim_folder(folder: Path) -> None:
    """Create a folder, and reserve it for this process until it ends; claiming it again in the same process has no
    effect.

    Raises:
        InputError: another process has reserved the folder, or it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _claim(folder.resolve())
    except OSError as error:
        raise unwritable(folder, error) from error


def _claim(folder: Path) -> None:
    if folder in _held:
        return
    file = open(folder / "run.lock", "a+")  # noqa: SIM115 (kept open: it is the lock)
    own = f"process {os.getpid()} of {os.uname().nodename}"
    if not lock(file, wait=False):
        file.seek(0)
        holder = file.read().strip() or "another process"
        file.close()
        if holder == own:
            return  # an earlier copy of this module holds the lock: servers unload a bundle's code and load it again
        raise InputError(
            f"{folder} is in use by another run ({holder}); wait until it ends, or choose another output folder"
        )
    file.truncate(0)
    file.write(own)
    file.flush()
    _held[folder] = file


def _let_go() -> None:
    """Release the locks in forked workers, because a worker that outlives its run must not keep the run's lock."""
    for file in _held.values():
        os.close(file.fileno())
    _held.clear()


os.register_at_fork(after_in_child=_let_go)
