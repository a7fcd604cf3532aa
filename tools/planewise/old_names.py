"""Keep names from the previous version working for one more version, so that users' existing configs still run."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

logger = logging.getLogger(__name__)


def old_names(room: str, now: Mapping[str, str | tuple[str, dict[str, Any]]]) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for a room, which finds the object behind an old name and logs a warning.

    Args:
        room: dotted name of the room, such as ``planewise.losses``.
        now: maps each old name to the new name, or to the new name and the arguments that make the new object behave
            like the old one.
    """

    def find(name: str) -> Any:
        if name not in now:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        entry = now[name]
        new, given = (entry, {}) if isinstance(entry, str) else entry
        called = "".join(f", {key}: {getattr(value, '__name__', value)}" for key, value in given.items())
        logger.warning("%s.%s is now %s%s; the next version will not have the old name", room, name, new, called)
        found = getattr(sys.modules[room], new)
        return partial(found, **given) if given else found

    return find
