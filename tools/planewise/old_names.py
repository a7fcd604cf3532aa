"""Names of an earlier version, which keep working for one version in configs that people hold."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

logger = logging.getLogger(__name__)


def old_names(room: str, now: Mapping[str, Any]) -> Callable[[str], Any]:
    """A room's ``__getattr__``: what an old name is now, with a warning in the log.

    Args:
        room: dotted name of the room, ``planewise.losses``.
        now: old name to the object; or to the object and the arguments that make it the old one.
    """

    def find(name: str) -> Any:
        if name not in now:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        found, given = now[name] if isinstance(now[name], tuple) else (now[name], {})
        called = "".join(f", {key}: {getattr(value, '__name__', value)}" for key, value in given.items())
        logger.warning(
            "%s.%s is now %s%s; the next version no longer knows the old name", room, name, found.__name__, called
        )
        return partial(found, **given) if given else found

    return find
