"""Parse true and false as people write them on a command line."""

from __future__ import annotations

from planewise.errors import InputError

_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def parse_bool(value: bool | str | float | None, name: str) -> bool:
    """Whether a setting is on.

    ``--compile False`` reaches a config as the value False, but ``--compile false`` arrives as text, which Python treats
    as true.

    Args:
        value: value of the setting; None (or none, null, nothing) is off.
        name: name of the setting, for the message.

    Raises:
        InputError: the value means neither on nor off.
    """
    word = str(value).strip().lower()
    if word in ("none", "null", ""):
        return False
    if word in _WORDS:
        return _WORDS[word]
    raise InputError(f"{name} must be true or false, got {value!r}")
