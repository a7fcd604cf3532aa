"""A page as one HTML file that carries its pictures: headings, tables, figures."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from planewise.reports.paper_tables import Paper

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1080px; margin: 2em auto; padding: 0 1em; color: #222; }
h1 { font-size: 1.6em; } h2 { margin-top: 2em; border-bottom: 1px solid #ccc; font-size: 1.25em; }
table { border-collapse: collapse; margin: 1em 0; } th, td { padding: .25em .8em; text-align: right; }
th { border-bottom: 1px solid #888; font-weight: 600; } td:first-child, th:first-child { text-align: left; }
td.paper, th.paper { color: #888; font-style: italic; } img { max-width: 100%; } figure { margin: 1em 0; }
figcaption, .note { color: #555; font-size: .9em; } .warning { background: #fff3cd; padding: .6em 1em; }
code { background: #f2f2f2; padding: 0 .25em; }
"""


@dataclass(frozen=True)
class Row:
    """Cells as the page shows them.

    Attributes:
        cells: text.
        paper: whose numbers they are; None for those that were measured here.
    """

    cells: list[str]
    paper: Paper | None = None

    @classmethod
    def of(cls, *cells: Any, paper: Paper | None = None) -> Row:
        """Numbers with four digits after the point, "-" for what is not known."""
        return cls([_text(cell) for cell in cells], paper)


@dataclass(frozen=True)
class Table:
    """A table as the page shows it."""

    title: str
    header: list[str]
    rows: list[Row]


class Page:
    """What was added so far, in order; ``tables`` holds the tables of it."""

    def __init__(self) -> None:
        self.tables: list[Table] = []
        self._parts: list[str] = []

    def add(self, text: str) -> None:
        """HTML as it is."""
        self._parts.append(text)

    def table(self, title: str, header: Sequence[Any], rows: Sequence[Row]) -> None:
        """A table; rows of a paper are grey."""
        table = Table(title, [str(cell) for cell in header], list(rows))
        self.tables.append(table)
        self.add(f"<h3>{html.escape(title)}</h3>")
        self.add("<table><tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in table.header) + "</tr>")
        for row in table.rows:
            mark = " class=paper" if row.paper else ""
            self.add("<tr>" + "".join(f"<td{mark}>{html.escape(cell)}</td>" for cell in row.cells) + "</tr>")
        self.add("</table>")

    def figure(self, picture: Figure | Path, caption: str) -> None:
        """A picture that was drawn, or a PNG file; a file that is not there is left out."""
        if isinstance(picture, Path):
            if not picture.is_file():
                return
            data = picture.read_bytes()
        else:
            buffer = io.BytesIO()
            picture.savefig(buffer, format="png", dpi=100)
            data = buffer.getvalue()
        encoded = base64.b64encode(data).decode()
        self.add(
            f'<figure><img alt="{html.escape(caption)}" src="data:image/png;base64,{encoded}">'
            f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        )

    def html(self, title: str) -> str:
        """The whole page."""
        head = f"<!doctype html><meta charset=utf-8><title>{html.escape(title)}</title><style>{_STYLE}</style>"
        return head + "\n".join(self._parts)


def _text(cell: Any) -> str:
    if cell is None:
        return "-"
    return f"{cell:.4f}" if isinstance(cell, float) else str(cell)
