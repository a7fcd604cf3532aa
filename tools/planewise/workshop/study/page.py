"""Headings, tables and figures as one HTML file with embedded pictures, or as Markdown with a folder of pictures."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from planewise.reports.page_style import page_head, scrolling
from planewise.workshop.study.paper_tables import Published

_STYLE = """\
body { max-width: 1080px; overflow-wrap: anywhere; } details { border-top: 1px solid var(--lines); }
summary h2 { display: inline-block; margin: .5em 0; } td, th { overflow-wrap: normal; }
td.paper, th.paper { color: var(--dim); font-style: italic; } code { background: var(--note); padding: 0 .25em; }
"""

#: Largest width of a picture in a repository, pixels.
_WIDTH = 1200
#: Greys and colours of the palette.
_GREYS, _COLOURS = 32, 48
#: A pixel is coloured if its channels differ by more than this.
_COLOURED = 24
#: Pictures of a run that show scores alone, and no image of an exam.
PLOTS = ("regression.png", "roc.png", "confusion.png")


@dataclass(frozen=True)
class Row:
    """A table's row as shown on the page.

    Attributes:
        cells: text of the cells.
        published: the paper's table that the numbers come from; None if they were measured here.
    """

    cells: list[str]
    published: Published | None = None

    @classmethod
    def of(cls, *cells: Any, published: Published | None = None) -> Row:
        """Make a row from values. Numbers get four decimals, and unknown values become "-"."""
        texts = [f"{cell:.4f}" if isinstance(cell, float) else "-" if cell is None else str(cell) for cell in cells]
        return cls(texts, published)


@dataclass(frozen=True)
class Table:
    """A table as shown on the page."""

    title: str
    header: list[str]
    rows: list[Row]


@dataclass(frozen=True)
class Picture:
    """A picture as shown on the page: the PNG file's content, and the text below it. ``main`` ones are in the Markdown
    page, too."""

    png: bytes
    caption: str
    main: bool = False


class Page:
    """The content so far, in order.

    Attributes:
        shows_exams: whether the page may show images of exams; if not, it leaves out every picture of a run but `PLOTS`.
        labelled: the page's word for a labelled exam.
        head: what stands before the first section.
        body: the sections.
        differences: the numbers of the tables of paired differences, one row per comparison.
    """

    def __init__(self, shows_exams: bool = True, labelled: str = "labelled exam") -> None:
        self.shows_exams = shows_exams
        self.labelled = labelled
        self.head: list[str | Table | Picture] = []
        self.body: list[str | Table | Picture] = []
        self.differences: list[dict[str, Any]] = []

    @property
    def tables(self) -> list[Table]:
        """The page's tables."""
        return [part for part in self.body if isinstance(part, Table)]

    @property
    def pictures(self) -> list[Picture]:
        """The page's pictures."""
        return [part for part in (*self.head, *self.body) if isinstance(part, Picture)]

    def add(self, text: str, *values: object) -> None:
        """Add HTML text; its braces, ``{}``, are replaced by values from files, which are escaped."""
        self.body.append(filled(text, *values))

    def note(self, text: str, *values: object) -> None:
        """Add a footnote, see `add`."""
        self.add(f"<p class=note>{text}</p>", *values)

    def table(self, title: str, header: Sequence[Any], rows: Sequence[Row], note: str = "") -> None:
        """Add a table and its footnote; rows of a paper are grey. A table without rows is left out."""
        if rows:
            self.body.append(Table(title, [str(cell) for cell in header], list(rows)))
            if note:
                self.note("{}", note)

    def figure(self, picture: Figure | Path, caption: str, main: bool = False, lead: bool = False) -> None:
        """Add a picture that was drawn, or a run's PNG file, with ``lead`` before the first section. A file is left out
        if it is missing, or not allowed."""
        if isinstance(picture, Path):
            if not picture.is_file() or not (self.shows_exams or picture.name in PLOTS):
                return
            png = picture.read_bytes()
        else:
            buffer = io.BytesIO()
            picture.savefig(buffer, format="png", dpi=100)
            png = buffer.getvalue()
        (self.head if lead else self.body).append(Picture(png, caption, main))

    def html(self, title: str) -> str:
        """The whole page: what stands before the first section, and each section folded under its heading."""
        start, *sections = re.split(r"(?=<h2>)", "\n".join(map(_as_html, (*self.head, *self.body))))
        folded = (
            f"<details><summary>{section.replace('</h2>', '</h2></summary>', 1)}</details>\n" for section in sections
        )
        return page_head(title, _STYLE) + start + "".join(folded)

    def markdown(self, folder: str) -> tuple[str, dict[str, bytes]]:
        """The page as Markdown with its main pictures, which are few and small because a repository keeps them forever.

        Args:
            folder: folder of the pictures, relative to the page.

        Returns:
            The text, and the PNG content of each picture by name.
        """
        texts: list[str] = []
        pictures: dict[str, bytes] = {}
        for part in (*self.head, *self.body):
            if isinstance(part, Table):
                texts.append(_table_as_markdown(part))
            elif isinstance(part, str):
                # Markdown accepts all HTML but needs its own headings
                text = re.sub(r"<h([12])>(.*?)</h\1>", lambda found: f"{'#' * int(found[1])} {found[2]}\n\n", part)
                texts.append(re.sub(r" class=\w+", "", text))
            elif part.main:
                name = f"{len(pictures) + 1:02d}.png"
                pictures[name] = small_png(part.png)
                caption = _escaped(part.caption)
                texts.append(f"![{caption}]({folder}/{name})\n\n*{caption}*")
        return "\n\n".join(texts) + "\n", pictures


def filled(text: str, *values: object) -> str:
    """HTML text whose braces, ``{}``, are replaced by escaped values."""
    return text.format(*(_escaped(value) for value in values)) if values else text


def _as_html(part: str | Table | Picture) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Picture):
        encoded, caption = base64.b64encode(part.png).decode(), html.escape(part.caption)
        picture = f'<img alt="{caption}" src="data:image/png;base64,{encoded}">'
        return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"
    lines = ["<table><tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in part.header) + "</tr>"]
    for row in part.rows:
        mark = " class=paper" if row.published else ""
        lines.append("<tr>" + "".join(f"<td{mark}>{html.escape(cell)}</td>" for cell in row.cells) + "</tr>")
    return f"<h3>{html.escape(part.title)}</h3>\n" + scrolling("\n".join([*lines, "</table>"]), part.title)


def _table_as_markdown(table: Table) -> str:
    """A table in Markdown; rows of a paper are in italics."""
    rows = [[f"*{cell}*" if row.published and cell else cell for cell in row.cells] for row in table.rows]
    lines = [table.header, ["---", *("---:" for _ in table.header[1:])], *rows]
    return f"### {_escaped(table.title)}\n\n" + "\n".join(
        f"| {' | '.join(_escaped(cell).replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )


def _escaped(text: object) -> str:
    """Escape text between tags; quotation marks stay readable there."""
    return html.escape(str(text), quote=False)


def small_png(png: bytes) -> bytes:
    """The same picture as a small PNG, because a repository keeps it forever: few colours, and no wider than a page.

    Args:
        png: content of a PNG file.

    Returns:
        Content of a PNG file with a palette; 1200 pixels wide at most.
    """
    buffer = io.BytesIO()
    image = Image.open(io.BytesIO(png)).convert("RGB")
    image.thumbnail((_WIDTH, 4 * _WIDTH))
    image.quantize(palette=_palette(np.asarray(image)), dither=Image.Dither.NONE).save(
        buffer, format="png", optimize=True
    )
    return buffer.getvalue()


def _palette(pixels: np.ndarray) -> Image.Image:
    """A palette of evenly spaced greys and of the colours that most resemble the coloured pixels. Pillow's own palette
    tints grey images, or spends all its colours on greys, so that the blue of a small structure turns green."""
    chosen = [(level,) * 3 for level in np.linspace(0, 255, _GREYS).round().astype(int).tolist()]
    coloured = pixels[np.ptp(pixels, axis=2) > _COLOURED]
    if len(coloured):
        few = Image.fromarray(coloured[None]).quantize(_COLOURS, method=Image.Quantize.MAXCOVERAGE)
        chosen += [colour for colour in few.convert("RGB").getcolors(few.width) for colour in colour[1:]]
    palette = Image.new("P", (1, 1))
    palette.putpalette([value for colour in chosen for value in colour])
    return palette
