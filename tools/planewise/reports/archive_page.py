"""One page with all exams of an archive, the most suspicious first."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from planewise.exams.words import count_of
from planewise.reports.research_only import RESEARCH_ONLY

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 1em auto; padding: 0 1em; max-width: 1400px; }
h1 { font-size: 1.4em; } h2 { font-size: 1.15em; margin-top: 1.6em; } .note { opacity: .75; font-size: .9em; }
.wide { overflow-x: auto; } table { border-collapse: collapse; } caption { text-align: left; }
th, td { padding: .25em .7em; text-align: right; vertical-align: top; }
tr + tr td { border-top: 1px solid color-mix(in srgb, currentColor 18%, transparent); }
th { font-weight: 600; vertical-align: bottom; }
td:first-child, th:first-child, td.text, th.text { text-align: left; } td.text { min-width: 16em; }
tr.flagged td:first-child { border-left: 4px solid #c77700; } tr.fine td:first-child { border-left: 4px solid transparent; }
"""
_TITLES = {"plan": "Planned exams", "segment": "Segmented exams"}
_NOTES = {
    "plan": "The table shows the distance between each acquired view and the planned one. The exam with the largest distance "
    "relative to the plan's error bounds and an operator's usual error comes first: its series may be misnamed, its view "
    "badly prescribed, or its plan wrong. A view without a plane and a series whose plane does not fit its name (misnamed) "
    "are flagged, too. Open its page to check.",
    "segment": "Volumes and function. The exam with the most implausible numbers comes first. Open its page to check.",
}
_UNITS = {"deg": "deg", "mm": "mm", "ml": "ml", "g": "g", "percent": "%"}


@dataclass(frozen=True)
class ListedExam:
    """A row of the page.

    Attributes:
        name: hash of the exam.
        page: link to the exam's page, relative to this page.
        values: column to value; None if unknown.
        flags: findings that a person should check.
    """

    name: str
    page: str
    values: Mapping[str, object]
    flags: Sequence[str]


def archive_page(command: str, exams: Sequence[ListedExam], left_out: Mapping[str, str], waiting: int) -> str:
    """The page as HTML that works without a network connection.

    Args:
        command: ``plan`` or ``segment``.
        exams: the finished exams, in the order of the page.
        left_out: name of each exam without results to the reason.
        waiting: number of exams that are not processed yet because the run was stopped.
    """
    columns = list(dict.fromkeys(key for exam in exams for key in exam.values))
    heads = "".join(f'<th scope="col">{html.escape(_head(key))}</th>' for key in columns)
    rows = "".join(_row(exam, columns) for exam in exams)
    flagged = sum(bool(exam.flags) for exam in exams)
    counts = f"{count_of(len(exams), 'exam')}, {flagged} flagged, {len(left_out)} left out"
    if waiting:
        counts += f"; {waiting} not processed yet: start the command again to continue"
    reasons = "".join(
        f'<tr><td>{html.escape(name)}</td><td class="text">{html.escape(why)}</td></tr>'
        for name, why in left_out.items()
    )
    lost = (
        f'<h2>Left out</h2><div class="wide"><table><tr><th scope="col">exam</th><th class="text" scope="col">why</th>'
        f"</tr>{reasons}</table></div>"
        if left_out
        else ""
    )
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{_TITLES[command]}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{_TITLES[command]}</h1>\n<p>{counts}.</p>\n"
        f'<p class="note">{_NOTES[command]} {RESEARCH_ONLY}</p>\n'
        f'<div class="wide"><table>\n<tr><th scope="col">exam</th><th class="text" scope="col">flags</th>{heads}</tr>\n'
        f"{rows}</table></div>\n{lost}\n</body>\n</html>\n"
    )


def _head(column: str) -> str:
    """A column's name in words: ``2ch_angle_deg`` to ``2ch angle, deg``."""
    words, _, unit = column.rpartition("_")
    return f"{words.replace('_', ' ')}, {_UNITS[unit]}" if unit in _UNITS else column.replace("_", " ")


def _row(exam: ListedExam, columns: Sequence[str]) -> str:
    cells = "".join(f"<td>{html.escape(_cell(exam.values.get(key)))}</td>" for key in columns)
    link = f'<a href="{html.escape(exam.page)}">{html.escape(exam.name)}</a>'
    flags = "<br>".join(html.escape(flag) for flag in exam.flags) or "-"
    return (
        f'<tr class="{"flagged" if exam.flags else "fine"}"><td>{link}</td><td class="text">{flags}</td>{cells}</tr>\n'
    )


def _cell(value: object) -> str:
    if value is None or value != value:  # NaN
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else str(value)
