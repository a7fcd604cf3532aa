"""Compare whole outputs with stored ones, in ``tests/expected/text``; ``pytest --write-expected`` writes them again.

Words must be equal, and so must whole numbers. Numbers with decimals may differ by one unit of their last digit, or by a
thousandth. Times, versions and the tests' folders are masked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.legend import Legend
from matplotlib.patches import Patch
from matplotlib.text import Text

from tests.expected_numbers import rounded, statistics

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


def text_of_page(page: str) -> str:
    """The text of an HTML page, with a line for each row of a table, and what its scripts draw; without pictures, styles and
    explanations in ``<details>`` (but not the folded sections of a study).
    """
    drawn = re.search(r"const exam = (.*?);</script>", page, re.S)
    page = re.sub(r"<(script|style|details)\b(?!><summary><h2).*?</\1>", "", page, flags=re.S)
    page = re.sub(r"\s+", " ", page)
    page = re.sub(r"</t[dh]>\s*(?=<t[dh])", " | ", page)
    flagged = re.sub(r'<(\w+)[^>]* class="?(\w+)"?[^>]*>', r"[\2] ", page)
    pictures = re.sub(r'<img[^>]* alt="([^"]*)"[^>]*>', r"\n(picture: \1)\n", flagged)
    outlines = re.sub(r'<path[^>]* d="([^"]*)"[^>]*>', r"\n(outline: \1)\n", pictures)
    text = re.sub(r"<[^>]+>", "\n", re.sub(r"</?(?:b|i|a|em|span|code|small|label|td|th)\b[^>]*>", "", outlines))
    lines = [" ".join(line.split()) for line in unescape(text).splitlines()]
    shown = [f"{line[:60]} ({len(line)}.0 letters)" if line.startswith("(outline") else line for line in lines if line]
    return "\n".join([*shown, readable(_short_lists(json.loads(drawn[1]))) if drawn else ""])


def _short_lists(value: Any) -> Any:
    """Long texts as their length, and long lists as their length, first and last entry."""
    if isinstance(value, str):
        return value if len(value) < 100 else f"{len(value)}.0 letters"
    if isinstance(value, dict):
        return {key: _short_lists(entry) for key, entry in value.items()}
    if isinstance(value, list):
        kept = value if len(value) <= 4 else [f"{len(value)} entries", value[0], value[-1]]
        return [_short_lists(entry) for entry in kept]
    return value


def text_of_figure(figure: Figure) -> str:
    """Titles, labels, limits that are set, legends, lines, bars, points and images of a figure, with all colours."""
    titles = [text for text in (figure._suptitle, figure._supxlabel, figure._supylabel) if text is not None]
    found = [text.get_text() for text in titles]
    found += [f"{text.get_text()!r}{_unusual(text)}" for text in figure.texts if text not in titles]
    found += [f"legend: {_entries_of(legend)}" for legend in figure.legends]
    for axes in figure.axes:
        parts = (axes._left_title, axes.title, axes._right_title)
        title = " ".join(f"{text.get_text()}{_unusual(text)}" for text in parts if text.get_text())
        found.append(f"axes: {title} | {axes.get_xlabel()} | {axes.get_ylabel()}")
        if legend := axes.get_legend():
            found.append(f"  legend: {_entries_of(legend)}")
        for name, ticks in (("x", axes.get_xticklabels()), ("y", axes.get_yticklabels())):
            if any(tick.get_text().strip("−-0123456789.") for tick in ticks):
                found.append(f"  {name}: {_words(ticks)}")
        limits = {"x": (axes.get_autoscalex_on(), axes.get_xlim()), "y": (axes.get_autoscaley_on(), axes.get_ylim())}
        found += [f"  {name} from {_short(ends)}" for name, (free, ends) in limits.items() if not free]
        found += [f"  {text.get_text()!r} at {_short(text.get_position())}{_unusual(text)}" for text in axes.texts]
        for line in axes.get_lines():
            look = f"{to_hex(line.get_color())} {line.get_linestyle()}" if line.get_linestyle() != "None" else "points"
            if (marker := line.get_marker()) != "None":
                look += f" {marker} {_colour(line.get_markeredgecolor())} {_colour(line.get_markerfacecolor())}"
            found.append(f"  line {_label(line)} ({look}): {_short(line.get_xdata())}, {_short(line.get_ydata())}")
        for patch in axes.patches:
            corners = patch.get_extents().transformed(axes.transData.inverted()).get_points()
            colours = f"{_colour(patch.get_facecolor())} {_colour(patch.get_edgecolor())}"
            found.append(f"  {type(patch).__name__} {_label(patch)} ({colours}): {_short(corners)}")
        for points in axes.collections:
            found.append(f"  {type(points).__name__} {_label(points)}: {_short(points.get_offsets())}")
        for image in axes.get_images():
            shown = np.asarray(image.get_array(), dtype=float)
            found.append(f"  image {_summary(shown)}, at {_short(image.get_extent())}{_levels(image)}")
    return "\n".join(found)


def _entries_of(legend: Legend) -> str:
    """Names and colours of a legend's entries."""
    drawn = zip(legend.get_texts(), legend.legend_handles, strict=True)
    return ", ".join(f"{text.get_text()} {_colour_of(handle)}" for text, handle in drawn)


def _colour_of(handle: Any) -> str:
    if isinstance(handle, Patch):
        return _colour(handle.get_facecolor())
    return _colour(handle.get_markeredgecolor() if handle.get_linestyle() == "None" else handle.get_color())


def _unusual(text: Text) -> str:
    """A text's colour if it is not black."""
    colour = to_hex(text.get_color())
    return "" if colour == "#000000" else f" ({colour})"


def _levels(image: AxesImage) -> str:
    """The colour map of an image that has one, its limits, and the opacity."""
    parts = [] if image.get_array().ndim == 3 else [f"{image.get_cmap().name} from {_short(image.get_clim())}"]
    if image.get_alpha() is not None:
        parts.append(f"opacity {_short(image.get_alpha())}")
    return "".join(f", {part}" for part in parts)


def _colour(name: Any) -> str:
    return name if isinstance(name, str) and name == "none" else to_hex(name)


def _words(texts: Any) -> str:
    return ", ".join(text.get_text() for text in texts)


def _label(artist: Any) -> str:
    label = str(artist.get_label())
    return "" if label.startswith("_") else label


def _short(values: Any) -> str:
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        return ", ".join(map(str, array.ravel()[:20]))
    return json.dumps(rounded(array.astype(float))) if array.size <= 24 else _summary(array)


def _summary(array: np.ndarray) -> str:
    return json.dumps(rounded(statistics(array)))
