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

from matplotlib.figure import Figure

from planewise.reports.page_style import page_head, scrolling
from planewise.reports.paper_tables import Published
from planewise.reports.small_png import small_png

_STYLE = """\
body { max-width: 1080px; overflow-wrap: anywhere; } details { border-top: 1px solid var(--lines); }
summary h2 { display: inline-block; margin: .5em 0; } td, th { overflow-wrap: normal; }
td.paper, th.paper { color: var(--dim); font-style: italic; } code { background: var(--note); padding: 0 .25em; }
"""

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
        return cls([_text(cell) for cell in cells], published)


@dataclass(frozen=True)
class Table:
    """A table as shown on the page."""

    title: str
    header: list[str]
    rows: list[Row]


@dataclass(frozen=True)
class Picture:
    """A picture as shown on the page.

    Attributes:
        png: the file's content.
        caption: text below the picture.
        main: whether the Markdown page includes the picture too.
        lead: whether the picture stands at the top of the page, before every table.
    """

    png: bytes
    caption: str
    main: bool = False
    lead: bool = False


class Lead(str):
    """HTML text that stands at the top of the page, before every table."""


class Page:
    """The content so far, in order.

    Attributes:
        shows_exams: whether the page may show images of exams; if not, it leaves out every picture of a run but `PLOTS`.
        differences: the numbers of the tables of paired differences, one row per comparison.
    """

    def __init__(self, shows_exams: bool = True) -> None:
        self.shows_exams = shows_exams
        self._parts: list[str | Table | Picture] = []
        self.differences: list[dict[str, Any]] = []

    @property
    def tables(self) -> list[Table]:
        """The page's tables."""
        return [part for part in self._parts if isinstance(part, Table)]

    @property
    def pictures(self) -> list[Picture]:
        """The page's pictures."""
        return [part for part in self._parts if isinstance(part, Picture)]

    def add(self, text: str, *values: object) -> None:
        """Add HTML text; its braces, ``{}``, are replaced by values from files, which are escaped."""
        self._parts.append(text.format(*(_escaped(value) for value in values)) if values else text)

    def note(self, text: str, *values: object) -> None:
        """Add a footnote, see `add`."""
        self.add(f"<p class=note>{text}</p>", *values)

    def lead(self, text: str) -> None:
        """Add HTML text at the top of the page."""
        self._parts.append(Lead(text))

    def table(self, title: str, header: Sequence[Any], rows: Sequence[Row]) -> None:
        """Add a table; rows of a paper are grey."""
        self._parts.append(Table(title, [str(cell) for cell in header], list(rows)))

    def figure(self, picture: Figure | Path, caption: str, main: bool = False, lead: bool = False) -> None:
        """Add a picture that was drawn, or a run's PNG file; a file is left out if it is missing, or not allowed."""
        if isinstance(picture, Path):
            if not picture.is_file() or not (self.shows_exams or picture.name in PLOTS):
                return
            png = picture.read_bytes()
        else:
            buffer = io.BytesIO()
            picture.savefig(buffer, format="png", dpi=100)
            png = buffer.getvalue()
        self._parts.append(Picture(png, caption, main, lead))

    def extend(self, other: Page) -> None:
        """Add the content of another page, its leading texts and pictures first."""
        self.differences += other.differences
        self._parts += sorted(other._parts, key=_follows)  # a stable sort

    def html(self, title: str) -> str:
        """The whole page: what stands before the first section, and each section folded under its heading."""
        start, *sections = re.split(r"(?=<h2>)", "\n".join(map(_as_html, self._parts)))
        folded = (
            f"<details><summary>{section.replace('</h2>', '</h2></summary>', 1)}</details>\n" for section in sections
        )
        return page_head(title, _STYLE) + start + "".join(folded)

    def markdown(self, folder: str) -> tuple[str, dict[str, bytes]]:
        """The page as Markdown with its main pictures, which are few and small because a repository keeps them forever.

        Args:
            folder: folder of the pictures, relative to the page.

        Returns:
            The text, whose last line counts the pictures that it leaves out, and the PNG content of each picture by name.
        """
        texts, pictures = [], {}
        for part in self._parts:
            if isinstance(part, Table):
                texts.append(_table_as_markdown(part))
            elif isinstance(part, Picture):
                if not part.main:
                    continue
                name = f"{len(pictures) + 1:02d}.png"
                pictures[name] = small_png(part.png)
                caption = _escaped(part.caption)
                texts.append(f"![{caption}]({folder}/{name})\n\n*{caption}*")
            else:
                texts.append(_text_as_markdown(part))
        if more := len(self.pictures) - len(pictures):
            texts.append(
                f"*A run of the study writes a page that also has {more} more picture{'s' if more > 1 else ''}.*"
            )
        return "\n\n".join(texts) + "\n", pictures


def _follows(part: str | Table | Picture) -> bool:
    """Whether a part comes after the leading texts and pictures."""
    return not (isinstance(part, Lead) or (isinstance(part, Picture) and part.lead))


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
    lines = [[_escaped(cell) for cell in line] for line in lines]
    return f"### {_escaped(table.title)}\n\n" + "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )


def _text_as_markdown(text: str) -> str:
    """Convert HTML text to Markdown: convert headings, remove classes, and keep all other HTML, which Markdown accepts."""
    text = re.sub(r"<h([12])>(.*?)</h\1>", lambda found: f"{'#' * int(found[1])} {found[2]}\n\n", text)
    return re.sub(r" class=\w+", "", text)


def _escaped(text: object) -> str:
    """Escape text between tags; quotation marks stay readable there."""
    return html.escape(str(text), quote=False)


def _text(cell: Any) -> str:
    if cell is None:
        return "-"
    return f"{cell:.4f}" if isinstance(cell, float) else str(cell)
