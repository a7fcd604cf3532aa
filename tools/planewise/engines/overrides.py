"""Read the options of documented commands, and find those that their config does not have."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

import monai.bundle
from monai.bundle import ConfigParser

from planewise.engines.check_settings import unknown_names

#: Options of `python -m monai.bundle run` itself.
_OPTIONS = frozenset(inspect.signature(monai.bundle.run).parameters) | {"args_file"}


def overrides(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The options of a command line, ``--name value`` or ``--name=value``, with their values as written."""
    for position, argument in enumerate(arguments):
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            yield name, value if equals else next(iter(arguments[position + 1 :]), "")


def unknown_overrides(arguments: Sequence[str], known: Mapping[str, Any]) -> dict[str, str | None]:
    """Map each option of a command line that a config does not have to the nearest known name, or to None.

    Args:
        arguments: arguments of ``monai.bundle run``: ``["--sigmaa", "3", "--train#trainer#max_epochs", "1"]``.
        known: the config to check against.
    """
    parser = ConfigParser(deepcopy(dict(known)))
    unknown: dict[str, str | None] = {}
    for name, value in overrides(arguments):
        if name not in _OPTIONS and not name.startswith("_meta_"):
            try:
                parser[name.lstrip("+~")] = value
            except (LookupError, TypeError, ValueError):
                unknown[name] = None
    return unknown | unknown_names(parser.get(), known)
