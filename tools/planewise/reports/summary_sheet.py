"""One page to print or to file: an exam's pictures, tables and flags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from textwrap import wrap
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from planewise import __version__
from planewise.geometry import clip_lines, intersection_lines
from planewise.preprocessing.limit_slices import evenly_spaced
from planewise.reports.exam_page import ShownExam, ShownPlane, field_around, shown_planes
from planewise.reports.page_style import FLAGGED
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.reports.segmentation_figures import overlay_labels, structure_colour
from planewise.reports.slices import show_slice

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Size of the page (A4), its margins and the gap between pictures, inches.
_PAGE, _MARGIN, _GAP = (8.27, 11.69), 0.6, 0.05
#: Font sizes, points: the largest with which the text leaves `_PICTURES` inches of the page's height is used.
_SIZES, _PICTURES = (8.0, 7.0, 6.0), 3.2
#: Width of a letter and height of a line, as shares of the font size. Only lines of capitals are wider.
_LETTER, _LINE = 0.6, 1.4
#: Largest side of a picture, inches, and most slices of a phase.
_SIDE, _SLICES = 2.3, 18
_RED, _GREY = "#b00020", "#444444"


class _Words(NamedTuple):
    """Words of a line that begin after this number of letters."""

    start: int
    words: str
    style: Mapping[str, Any] = {}


def summary_sheet(exam: ShownExam) -> Figure:
    """A page with the slices, the tables, the flags and the notes of an exam's page.

    The slices have the lines of the planes; in an exam without a plan, they have the masks, in the phases that the tables
    show. If the text is too long even in the smallest letters, the last line says so.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=_PAGE)
    width, height = (side - 2 * _MARGIN for side in _PAGE)
    planes = [] if exam.plan is None else shown_planes(exam)
    for size in _SIZES:
        inch = size * _LINE / 72
        letters = int(width * 72 / (size * _LETTER))
        head = [*_sentence(f"Exam {exam.name}", letters, weight="bold"), *_sentence(RESEARCH_ONLY, letters)]
        head += _sentence(" ".join([f"planewise {__version__}.", *exam.notes[-1:]]), letters, color=_GREY)
        lines = [*_legend(exam, planes, letters), *_text(exam, letters)]
        most = int((height - _PICTURES) / inch) - len(head)
        if len(lines) <= most:
            break
    else:
        left_out = f"{len(lines) - most + 1} more lines: see index.html."
        lines = [*lines[: most - 1], [_Words(0, left_out, {"weight": "bold"})]]
    top = _write(figure, head, _MARGIN, size) + inch / 2
    bottom = _draw(figure, exam, planes, top, _PAGE[1] - _MARGIN - inch * (len(lines) + 0.5), inch)
    _write(figure, lines, bottom + inch / 2, size)
    return figure


def _write(figure: Figure, lines: Sequence[Sequence[_Words]], top: float, size: float) -> float:
    """Write lines below a height, inches from the page's upper edge; returns the height below them."""
    for line in lines:
        for start, words, style in line:
            left = _MARGIN + start * size * _LETTER / 72
            # a name may contain signs that begin a formula
            figure.text(left / _PAGE[0], 1 - top / _PAGE[1], words, fontsize=size, va="top", parse_math=False, **style)
        top += size * _LINE / 72
    return top


def _draw(
    figure: Figure, exam: ShownExam, planes: Sequence[ShownPlane], top: float, bottom: float, line: float
) -> float:
    """Draw the slices between two heights, as large as possible; returns the height below them."""
    part, affines = field_around(exam, planes)
    phases = [exam.phases[number] for number in exam.tabled] or [("", exam.image, exam.labels)]
    named = line * (len(phases) > 1)
    numbers = evenly_spaced(len(affines), _SLICES)
    width, height = _PAGE[0] - 2 * _MARGIN, (bottom - top) / len(phases) - named

    def side_in(columns: int) -> float:
        return min(width / columns, height / -(-len(numbers) // columns), _SIDE)

    columns = max(range(1, len(numbers) + 1), key=side_in)
    side = side_in(columns)
    for name, image, labels in phases:
        if named:
            top = _write(figure, [[_Words(0, name)]], top, line * 72 / _LINE)
        for place, number in enumerate(numbers):
            row, column = divmod(place, columns)
            left, under = _MARGIN + column * side, top + (row + 1) * side - _GAP
            shown = (side - _GAP) / _PAGE[0], (side - _GAP) / _PAGE[1]
            axes = figure.add_axes((left / _PAGE[0], 1 - under / _PAGE[1], *shown))
            show_slice(axes, image[part][..., number])
            axes.set_anchor("NW")
            if exam.plan is None and labels is not None:
                overlay_labels(axes, labels[part][..., number])
            for plane in planes:
                ends = clip_lines(
                    intersection_lines(affines[number], plane.origin, plane.normal), image[part].shape[:2]
                )
                axes.plot(ends[:, 0], ends[:, 1], "-" if plane.planned else "--", color=plane.colour, lw=1.2)
            _number(axes, number)
        top += side * -(-len(numbers) // columns)
    return top


def _number(axes: Axes, number: int) -> None:
    """Write a slice's number, from 1, into its picture."""
    box = {"facecolor": "black", "alpha": 0.5, "linewidth": 0, "pad": 1}
    axes.text(0.04, 0.96, f"{number + 1}", transform=axes.transAxes, va="top", fontsize=6, color="white", bbox=box)


def _legend(exam: ShownExam, planes: Sequence[ShownPlane], letters: int) -> Iterator[list[_Words]]:
    """Lines with the colours of the planes or the structures."""
    names = [(plane.name, plane.colour, "—" if plane.planned else "- -") for plane in planes]
    if exam.plan is None and exam.labels is not None:
        names = [(name, structure_colour(value), "■") for value, name in exam.structures.items()]
    line: list[_Words] = []
    start = 0
    for name, colour, mark in names:
        if line and start + len(name) + 4 > letters:
            yield line
            line, start = [], 0
        line += [_Words(start, mark, {"color": colour, "weight": "bold"}), _Words(start + 4, name)]
        start += len(name) + 8
    if line:
        yield line


def _text(exam: ShownExam, letters: int) -> Iterator[list[_Words]]:
    """The lines of the tables, the flags and the notes; the note on the weights, the last one, is at the top of the page."""
    for title, header, rows in exam.tables:
        yield []
        yield from _sentence(title, letters, weight="bold")
        yield from _table(header, rows, letters)
    if exam.flags:
        yield []
    for flag in exam.flags:
        yield from _sentence(f"{FLAGGED} {flag}", letters, indent="     ", color=_RED)
    for note in exam.notes[:-1]:
        yield []
        yield from _sentence(note, letters, color=_GREY)


def _sentence(text: str, letters: int, indent: str = "", **style: Any) -> list[list[_Words]]:
    # bold letters are wider
    wrapped = wrap(text, int(letters * 0.85) if "weight" in style else letters, subsequent_indent=indent)
    return [[_Words(0, line, style)] for line in wrapped]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], letters: int) -> Iterator[list[_Words]]:
    """The lines of a table, whose widest columns are wrapped so that all of them fit."""
    # a header may be wrapped between any two words
    needed = [max(map(len, [*name.split(), *cells])) for name, *cells in zip(header, *rows, strict=True)]
    widest = next(most for most in range(letters, 0, -1) if sum(min(each, most) + 2 for each in needed) <= letters)
    widths = [min(each, widest) for each in needed]
    starts = np.cumsum([0, *(width + 2 for width in widths)]).tolist()
    for row in (header, *rows):
        style: list[Mapping[str, Any]] = [{"color": _RED} if cell.endswith(FLAGGED) else {} for cell in row]
        if row is header:
            style = [{"color": _GREY, "style": "italic"}] * len(row)
        cells = [wrap(cell, width) for cell, width in zip(row, widths, strict=True)]
        for line in zip_longest(*cells, fillvalue=""):
            yield [_Words(*words) for words in zip(starts, line, style, strict=False) if words[1]]
