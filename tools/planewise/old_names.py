"""Names from the previous version, which keep working for one more version, for users' existing configs."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

logger = logging.getLogger(__name__)


def old_names(room: str, now: Mapping[str, str | tuple[str, dict[str, Any]]]) -> Callable[[str], Any]:
    """A room's ``__getattr__``, which finds the object behind an old name and logs a warning.

    Args:
        room: dotted name of the room, such as ``planewise.losses``.
        now: old name to new name; or to the new name and the arguments with which it behaves like the old object.
    """

    def find(name: str) -> Any:
        if name not in now:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        entry = now[name]
        new, given = (entry, {}) if isinstance(entry, str) else entry
        called = "".join(f", {key}: {getattr(value, '__name__', value)}" for key, value in given.items())
        logger.warning("%s.%s is now %s%s; the next version no longer knows the old name", room, name, new, called)
        found = getattr(sys.modules[room], new)
        return partial(found, **given) if given else found

    return find
