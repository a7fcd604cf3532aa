"""Compare whole outputs with stored ones, in ``tests/expected/text``; ``pytest --write-expected`` writes them again.

Words must be equal, and so must whole numbers. Numbers with decimals may differ by one unit of their last digit, or by a
thousandth. Times, versions and the tests' folders are masked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.expected_numbers import rounded

FOLDER = Path(__file__).parent / "expected" / "text"
#: Everything except finite numbers with decimals or exponents, which need not agree to the last digit.
_DECIMAL = re.compile(r"(?<![\w.])([+-]?\d+(?:\.\d+(?:e[+-]\d+)?|e[+-]\d+))(?![\w.]*\w)")
_MASKS = (
    ("─+", "─"),
    (r"\b\d+\.\d+\.\d+\b", "VERSION"),
    (r"\d+\.\d s \(\d+ files/s\)", "N s (N files/s)"),
    # a fast machine does not print the time that is left
    (r" \((?:about \d+ \w+|less than a minute) left\)", ""),
)


def check_expected(name: str, text: str, write: bool, relative: float = 1e-3) -> None:
    """Compare a text with the file of this name, or write the file.

    Args:
        name: the file's name.
        text: the output.
        write: write the file instead, as ``--write-expected`` asks.
        relative: the relative error that numbers with decimals may have.

    Raises:
        AssertionError: they differ; lines that agree within the tolerance are shown as stored.
    """
    text = "".join(f"{line.rstrip()}\n" for line in text.rstrip().split("\n"))
    for pattern, mask in _MASKS:
        text = re.sub(pattern, mask, text)
    file = FOLDER / name
    if write:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    lines, wanted = text.splitlines(), file.read_text().splitlines()
    if len(lines) == len(wanted):
        pairs = zip(lines, wanted, strict=True)
        lines = [stored if _close(line, stored, relative) else line for line, stored in pairs]
    assert lines == wanted, f"{name} differs; if the change is intended, run pytest with --write-expected"


def _close(line: str, stored: str, relative: float) -> bool:
    parts, wanted = _DECIMAL.split(line), _DECIMAL.split(stored)
    return parts[::2] == wanted[::2] and all(
        abs(float(came) - float(old)) <= max(relative * abs(float(old)), 1.01 * _last_digit(old))
        for came, old in zip(parts[1::2], wanted[1::2], strict=True)
    )


def _last_digit(number: str) -> float:
    """``0.25`` to ``0.01``."""
    mantissa, _, exponent = number.partition("e")
    return 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))


def masked(text: str, **folders: Path) -> str:
    """Replace the paths of folders by these names."""
    for name, folder in folders.items():
        text = text.replace(str(folder), name)
    return text


def readable(content: Any) -> str:
    """Nested values as YAML, in their own order, with numbers of five digits; equal lists and mappings are written only
    once, and the others refer to the first.
    """
    content = _shared(rounded(content), {})
    return yaml.dump(content, Dumper=yaml.CSafeDumper, sort_keys=False, default_flow_style=None, width=120)


def _shared(value: Any, known: dict[str, Any]) -> Any:
    if not isinstance(value, (dict, list)):
        return value
    text = json.dumps(value)
    if text not in known:
        own = {key: _shared(entry, known) for key, entry in _entries(value)}
        known[text] = own if isinstance(value, dict) else list(own.values())
    return known[text] if len(text) > 30 else value


def _entries(value: dict | list) -> list[tuple[Any, Any]]:
    """The entries of a mapping or list; those next to an image are one entry, because many images share them."""
    if isinstance(value, list):
        return list(enumerate(value))
    own = [(key, value[key]) for key in ("items", "image", "patient") if key in value and "image" in value]
    rest = {key: entry for key, entry in value.items() if (key, entry) not in own}
    return [*own, ("rest", rest)] if own else list(value.items())


def items_in_brief(items: list[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """For each exam: the number of its items; for each key, its first and last value and the number of its values."""
    exams: dict[str, list[Mapping[str, Any]]] = {}
    for item in items:
        exams.setdefault(str(item.get("exam")), []).append(item)
    brief = {exam: {"items": len(own), **_columns(own)} for exam, own in exams.items()}
    return {exam: {key: value for key, value in own.items() if key != "exam"} for exam, own in brief.items()}


def _columns(items: list[Mapping[str, Any]]) -> dict[str, Any]:
    brief = {}
    for key in dict.fromkeys(key for item in items for key in item):
        values = [item[key] for item in items if key in item]
        different = len({json.dumps(rounded(value)) for value in values})
        ends = [values[0]] if different == 1 else [values[0], values[-1]]
        counts = [] if (len(values), different) == (len(items), 1) else [f"{len(values)} values, {different} different"]
        brief[key] = [*ends, *counts] if counts else values[0]
    return brief
