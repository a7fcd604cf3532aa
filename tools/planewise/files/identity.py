"""Hashes that represent exams and patients outside the datalist."""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
from collections.abc import Iterable
from pathlib import Path

from planewise.errors import InputError

#: File at the root of a tree of exams that `planewise phantom` wrote.
PHANTOM_MARK = "phantom.json"
#: Salt of phantoms: their hashes, and the order of their exams, are the same on every machine.
_PHANTOM_SALT = b"phantoms need no secret"


def in_phantom_trees(folders: Iterable[Path]) -> bool:
    """Whether at least one folder lies in a tree of phantoms. Its mark is at most a few folders above the images."""
    trees = {above for folder in folders for above in (folder, *list(folder.parents)[:6])}
    return any((tree / PHANTOM_MARK).is_file() for tree in trees)


def salt_file() -> Path:
    """The file of this user's salt: ``$PLANEWISE_SALT_FILE``, or ``planewise/salt`` in the system's settings folder."""
    if named := os.environ.get("PLANEWISE_SALT_FILE"):
        return Path(named).expanduser()
    # an empty variable counts as unset
    settings = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    settings = "~/Library/Application Support" if sys.platform == "darwin" else settings
    return Path(settings).expanduser() / "planewise" / "salt"


def load_salt(images: str | Path | None = None) -> bytes:
    """The user's salt; created at random the first time. If all ``images`` that are hashed are phantoms, it is known,
    unless the user names a file.

    Exams keep their hash as long as the file exists. Without it, nobody can find the identifier of a hash by trying all.

    Raises:
        InputError: the file cannot be read or created, or its salt is too short.
    """
    named = os.environ.get("PLANEWISE_SALT_FILE")
    if images and not named and in_phantom_trees([Path(os.path.realpath(os.path.expanduser(images)))]):
        return _PHANTOM_SALT
    path = salt_file()
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            own = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
            own.touch(mode=0o600)
            own.write_text(secrets.token_hex(32) + "\n")
            try:
                os.link(own, path)
            except FileExistsError:  # another process has made the salt first
                pass
            except OSError:  # a file system without links
                os.replace(own, path)
            own.unlink(missing_ok=True)
        salt = path.read_text().strip()
    except OSError as error:
        raise InputError(
            f"the salt for exam hashes cannot be kept at {path} ({error.strerror}); "
            "set PLANEWISE_SALT_FILE to a file that can be written"
        ) from None
    if len(salt) < 16:
        raise InputError(
            f"the salt in {path} is too short to hide anything; delete the file, and the next run makes a new one"
        )
    return salt.encode()


def hashed(identifier: str, salt: bytes) -> str:
    """Ten hexadecimal digits that represent an identifier."""
    return hashlib.sha256(salt + identifier.encode(errors="backslashreplace")).hexdigest()[:10]
