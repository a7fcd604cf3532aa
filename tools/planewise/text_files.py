"""Text that others have written: JSON and YAML files, and cells of tables."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from planewise.errors import InputError

#: Entries of a YAML file with its aliases written out. A run's configuration has a thousand.
_MOST_ENTRIES = 1_000_000


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
        InputError: as of `read_json`; or a few lines of aliases would fill the memory once they are written out.
    """
    return _read(Path(path), _yaml, what)


def _yaml(text: str) -> Any:
    # made here, since tests put the same loader in C in place of this one
    loader = type("Loader", (yaml.SafeLoader,), {"construct_mapping": _mapping_of_different_keys})
    value = yaml.load(text, loader)
    if "*" in text and _entries(value, {}) > _MOST_ENTRIES:
        raise ValueError(f"its aliases (*NAME) stand for more than {_MOST_ENTRIES:,} entries")
    return value


def _mapping_of_different_keys(loader: yaml.SafeLoader, node: yaml.MappingNode, deep: bool = False) -> dict:
    """PyYAML keeps the last of two entries with one key, and says nothing."""
    keys: set[tuple[str, str]] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in keys:
            raise yaml.YAMLError(f"{key.value} appears twice, again in line {key.start_mark.line + 1}")
        keys.add((key.tag, str(key.value)))
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


def _entries(value: Any, known: dict[int, float]) -> float:
    """How many entries a value has when each alias is written out; infinite where one contains itself."""
    if not isinstance(value, (dict, list)):
        return 1
    if id(value) not in known:
        known[id(value)] = math.inf
        known[id(value)] = 1 + sum(
            _entries(entry, known) for entry in (value.values() if isinstance(value, dict) else value)
        )
    return known[id(value)]


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
    except UnicodeDecodeError:
        reason = "it is not text in UTF-8: save it as such"
    except (ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
    raise InputError(f"{path} cannot be read as {what} ({reason})")
