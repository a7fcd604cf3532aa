"""Text that others have written: JSON and YAML files, and cells of tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from planewise.errors import InputError


def read_json(path: str | Path, what: str = "JSON") -> Any:
    """What a JSON file holds.

    Args:
        path: the file, in UTF-8.
        what: what the file should be, for the message.

    Raises:
        InputError: it cannot be read, is not JSON, or is nested too deeply to be anything that is meant.
    """
    return _read(Path(path), json.loads, what)


def read_yaml(path: str | Path, what: str = "YAML") -> Any:
    """What a YAML file holds, objects of Python refused.

    Args:
        path, what: as of `read_json`.

    Raises:
        InputError: as of `read_json`.
    """
    return _read(Path(path), yaml.safe_load, what)


def cell(value: Any) -> Any:
    """A cell of a CSV file that no spreadsheet takes for a formula: a text that begins like one gets an apostrophe before it.

    Numbers stay as they are, also as texts.
    """
    if not isinstance(value, str) or not value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def _read(path: Path, parse: Callable[[str], Any], what: str) -> Any:
    try:
        return parse(path.read_text(encoding="utf-8-sig"))
    except RecursionError:
        reason = "brackets or lists in it are nested hundreds deep"
    except MemoryError:
        reason = "it is larger than the memory"
    except OSError as error:
        reason = error.strerror or str(error)
    except (ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
    raise InputError(f"{path} cannot be read as {what} ({reason})")
