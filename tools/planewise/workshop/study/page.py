"""Headings, tables and figures as one HTML file with embedded pictures."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from planewise.reports.page_style import page_head

_STYLE = """\
body { max-width: 1080px; overflow-wrap: anywhere; } details { border-top: 1px solid var(--lines); }
summary h2 { display: inline-block; margin: .5em 0; } td, th { overflow-wrap: normal; }
code { background: var(--note); padding: 0 .25em; }
"""


@dataclass(frozen=True)
class Table:
    """A table as shown on the page: its cells as texts, row by row."""

    title: str
    header: list[str]
    rows: list[list[str]]


class Page:
    """The content so far, in order.

    Attributes:
        head: what stands before the first section, as HTML.
        body: the sections, as HTML.
        tables: the page's tables.
        differences: the numbers of the tables of paired differences, one row per comparison.
    """

    def __init__(self) -> None:
        self.head: list[str] = []
        self.body: list[str] = []
        self.tables: list[Table] = []
        self.differences: list[dict[str, Any]] = []

    def add(self, text: str, *values: object) -> None:
        """Add HTML text; its braces, ``{}``, are replaced by values from files, which are escaped."""
        self.body.append(filled(text, *values))

    def note(self, text: str, *values: object) -> None:
        """Add a footnote, see `add`."""
        self.add(f"<p class=note>{text}</p>", *values)

    def table(self, title: str, header: Sequence[Any], rows: Sequence[Sequence[Any]], note: str = "") -> None:
        """Add a table and its footnote. Numbers get four decimals, and unknown values become "-". A table without rows is
        left out."""
        if rows:
            table = Table(title, [*map(str, header)], [[*map(_cell, row)] for row in rows])
            self.tables.append(table)
            lines = ["<table><tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in table.header) + "</tr>"]
            for cells in table.rows:
                lines.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
            # the table scrolls sideways, also with the keyboard, if it is wider than the page
            box = f'<div class="wide" role="region" tabindex="0" aria-label="{html.escape(title)}">'
            self.body += [f"<h3>{html.escape(title)}</h3>", box + "\n".join(lines), "</table></div>"]
            if note:
                self.note("{}", note)

    def figure(self, picture: Figure, caption: str, lead: bool = False) -> None:
        """Add a plot, with ``lead`` before the first section."""
        buffer = io.BytesIO()
        picture.savefig(buffer, format="png", dpi=100)
        encoded, text = base64.b64encode(buffer.getvalue()).decode(), html.escape(caption)
        image = f'<img alt="{text}" src="data:image/png;base64,{encoded}">'
        (self.head if lead else self.body).append(f"<figure>{image}<figcaption>{text}</figcaption></figure>")

    def html(self, title: str) -> str:
        """The whole page: what stands before the first section, and each section folded under its heading."""
        start, *sections = re.split(r"(?=<h2>)", "\n".join((*self.head, *self.body)))
        folded = (
            f"<details><summary>{section.replace('</h2>', '</h2></summary>', 1)}</details>\n" for section in sections
        )
        return page_head(title, _STYLE) + start + "".join(folded)


def filled(text: str, *values: object) -> str:
    """HTML text whose braces, ``{}``, are replaced by escaped values; quotation marks stay readable."""
    return text.format(*(html.escape(str(value), quote=False) for value in values)) if values else text


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "-" if value is None else str(value)
