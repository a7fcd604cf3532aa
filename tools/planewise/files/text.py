"""Read text, JSON, YAML and CSV files from other sources, and make table cells safe for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from planewise.errors import InputError

_SAVE_AS_CSV = "save the table as CSV UTF-8"


def read_plain_text(path: str | Path) -> str:
    """Read a text file, in UTF-8; an `InputError` says why it cannot be read."""
    return _read(Path(path), str, "text")


def read_json(path: str | Path, what: str = "JSON") -> Any:
    """Read a JSON file, in UTF-8.

    Raises:
        InputError: the file cannot be read, is not JSON, or is nested too deeply; ``what`` names the kind of file.
    """
    return _read(Path(path), json.loads, what)


def read_yaml(path: str | Path, what: str = "YAML") -> Any:
    """Read a YAML file, without Python objects, as `read_json`; duplicated keys are an error, too."""
    return _read(Path(path), _yaml, what)


def read_csv(path: str | Path) -> list[list[str]]:
    """Read the rows of a CSV file in UTF-8, without the spaces around their cells, and without empty rows. Cells are
    separated by commas, semicolons or tabs: whichever is most frequent in the first line, outside quotation marks. If
    this is not the comma, a decimal comma becomes a point."""
    return _read(Path(path), _rows, "CSV")


def _rows(text: str) -> list[list[str]]:
    if re.search(r"[\x00-\x08\x0e-\x1f]", text):
        raise ValueError(f"it is not text: {_SAVE_AS_CSV}")
    delimiter = max(",;\t", key=re.sub('"[^"]*"', "", text.lstrip("\n ")).partition("\n")[0].count)
    read = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    rows = [[cell.strip() for cell in row] for row in read]
    if delimiter != ",":
        # the first cell is a name
        rows = [row[:1] + [re.sub(r"^([+-]?\d+),(\d+)$", r"\1.\2", cell) for cell in row[1:]] for row in rows]
    return [row for row in rows if any(row)]


def _yaml(text: str) -> Any:
    # defined inside the function, because tests replace this loader with its C version
    loader = type("Loader", (yaml.SafeLoader,), {"construct_mapping": _mapping_of_different_keys})
    return yaml.load(text, loader)


def _mapping_of_different_keys(loader: yaml.SafeLoader, node: yaml.MappingNode, deep: bool = False) -> dict:
    """Refuse duplicate keys; PyYAML would silently keep the last of two entries with the same key."""
    keys: set[tuple[str, str]] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in keys:
            raise yaml.YAMLError(f"{key.value} appears twice, again in line {key.start_mark.line + 1}")
        keys.add((key.tag, str(key.value)))
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


def cell(value: Any) -> Any:
    """A value for a cell of a CSV file. Text that a spreadsheet would interpret as a formula gets an apostrophe in front, but
    not a number that is given as text."""
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
    except UnicodeDecodeError:
        reason = f"it is not UTF-8 text: {_SAVE_AS_CSV if what == 'CSV' else 'save it in UTF-8'}"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        reason = place + " ".join(str(error.problem or error).split())
    except (OSError, RecursionError, ValueError, AttributeError, TypeError, csv.Error, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
    raise InputError(f"{path} cannot be read as {what} ({reason})")
