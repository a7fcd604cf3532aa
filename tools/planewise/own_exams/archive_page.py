"""One page with all exams of an archive, the most suspicious first."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from planewise.findings import FLAG, Finding, said, sentences
from planewise.reports.page_style import CORRECTED, FLAGGED, page_head, scrolling
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.words import count_of, listed

_STYLE = """\
.flagged td:first-child { border-left: 4px solid #c77700; } .fine td:first-child { border-left: 4px solid transparent; }
td.flagged { color: var(--flag); white-space: nowrap; } .listed :is(th, td) { padding: .25em .45em; }
/* flags are long: each exam has a line for its numbers, and one across the table for its flags */
.listed td.text { overflow-wrap: anywhere; font-weight: 400; } .listed tr + tr td { border-top: 0; }
@media (min-width: 701px) {
  .listed tbody + tbody tr:first-child td { border-top: 1px solid var(--lines); }
  /* small enough that all numbers and flags fit on a tablet */
  .listed :is(th, td:not(.text)) { font-size: clamp(.66em, 1.1vw, 1em); }
}
@media (max-width: 700px) { .listed tbody tr + tr { border: 0; } }
"""
#: How far an operator's plane may be from the ideal plane: 2.5 standard deviations of the errors with which views are
#: prescribed in phantoms. These are 4 degrees of rotation, 3 degrees of tilt and 2 mm of displacement
#: (`planewise.workshop.phantoms.heart.population`). The errors of plan and operator are independent, so an archive flags a
#: view if its distance exceeds the root of the sum of squares of this value and the plan's error bound (`TWO_LIMITS`).
#: `tools/docs/own_exams.md` says how many good views are flagged, and how many misplaced views are found.
OPERATOR_DEG, OPERATOR_MM = 12.5, 5.0
#: What the mark at a distance between two planes means.
TWO_LIMITS = (
    f"A distance is marked (!) if it exceeds √(bound² + {OPERATOR_DEG:g}²) deg or √(bound² + {OPERATOR_MM:g}²) mm, because "
    "an operator's view varies, too."
)
_TITLES = {"plan": "Planned exams", "segment": "Segmented exams"}
_NOTES = {
    "plan": "Angle and offset: how far the acquired view lies from the planned one. Bounds: how far the plan itself may be "
    f"off (90 % error bounds, measured on phantoms). {TWO_LIMITS} The exam with the largest distance relative to these "
    "larger limits comes first: its series may be misnamed, its view badly prescribed, or its plan wrong. A view without a "
    "plane and a series whose plane does not fit its name (misnamed) are flagged, too. Open its page to check.",
    "segment": "Volumes and function of the left (LV) and right (RV) ventricle. Exams without a heart in their "
    "masks come first, then those with the most implausible numbers. Open an exam's page to check.",
}
#: Name of the page of an exam or an archive, in its folder.
PAGE = "index.html"
_UNITS = {"deg": "deg", "mm": "mm", "ml": "ml", "g": "g", "percent": "%"}


@dataclass(frozen=True)
class Summary:
    """An exam in the table of an archive.

    Attributes:
        values: maps each column to its value; None if unknown.
        words: the main values in a few words, for the terminal.
        findings: everything that was found out about the exam and its results.
        severity: larger is worse.
        not_a_heart: True if the results cannot belong to a heart, which is worse than any severity.
        flagged: keys of the values that the flags concern, which are marked.
        corrected: keys of the values that come from masks that a person corrected, which are marked.
    """

    values: Mapping[str, object]
    words: str
    findings: Sequence[Finding]
    severity: float
    not_a_heart: bool = False
    flagged: Sequence[str] = ()
    corrected: Sequence[str] = ()

    @property
    def flags(self) -> list[Finding]:
        """Problems that a person should look at."""
        return [found for found in dict.fromkeys(self.findings) if found.level == FLAG or found.marks]

    @property
    def remarks(self) -> list[Finding]:
        """Further findings, for the table as CSV."""
        return [found for found in dict.fromkeys(self.findings) if found not in self.flags]

    def of(self, code: str) -> list[Finding]:
        """The findings with a code; those on corrected masks and missing DICOM files follow the flags."""
        return [found for found in self.findings if found.code == code]


def archive_page(
    command: str,
    exams: Mapping[str, Summary],
    left_out: Mapping[str, Sequence[Finding]],
    skipped: Mapping[Finding, int],
    waiting: int,
    note: str,
) -> str:
    """The page as HTML that works without a network connection.

    Args:
        command: ``plan`` or ``segment``.
        exams: maps the hash of each finished exam to its summary, in the order of the page.
        left_out: maps the name of each exam without results to the reasons.
        skipped: number of files that were not read, for each reason.
        waiting: number of exams that are not processed yet because the run was stopped.
        note: sentence on the weights that made the results.
    """
    shared = shared_flags(exams)
    known = {key for exam in exams.values() for key, value in exam.values.items() if _cell(value) != "-"}
    columns = [key for key in dict.fromkeys(key for exam in exams.values() for key in exam.values) if key in known]
    heads = "".join(f'<th scope="col">{html.escape(_head(key))}</th>' for key in columns)
    rows = "".join(_rows(name, exam, columns, shared, len(exams)) for name, exam in exams.items())
    flagged = sum(bool(exam.flags) for exam in exams.values())
    counts = f"{count_of(len(exams), 'exam')}, {flagged} flagged, {len(left_out)} left out"
    if changed := sum(bool(exam.of("corrected-mask")) for exam in exams.values()):
        counts += f"; {changed} with masks that a person changed"
    if without := sum(bool(exam.of("no-dicom")) for exam in exams.values()):
        counts += f"; {without} without DICOM files"
    if waiting:
        counts += f"; {waiting} not processed yet: start the command again to continue"
    files = sorted(((count, str(why)) for why, count in skipped.items()), reverse=True)
    finished = f'<thead><tr><th scope="col">exam</th>{heads}</tr></thead>\n{rows}'
    often = "".join(f"<li>{count} of {len(exams)}: {html.escape(str(flag))}</li>" for flag, count in shared.items())
    return (
        f"{page_head(_TITLES[command], _STYLE)}\n<body>\n<main>\n<h1>{_TITLES[command]}</h1>\n"
        f'<p class="warning">{RESEARCH_ONLY}</p>\n<p>{counts}.</p>\n<p class="note">{_NOTES[command]}</p>\n'
        f'<p class="note">{html.escape(note)}</p>\n'
        f"{often and f'<p>Flags of most exams:</p><ol>{often}</ol>'}\n"
        f"{scrolling(f'<table>{finished}</table>', _TITLES[command], ' listed')}\n"
        f"{_reasons('Left out', 'exam', [(exam, said(why)) for exam, why in left_out.items()])}"
        f"{_reasons('Files that were not read', 'files', files)}"
        "</main>\n</body>\n</html>\n"
    )


def shared_flags(exams: Mapping[str, Summary]) -> dict[Finding, int]:
    """The flags that more than half of several exams share, and their numbers of exams, the most frequent first."""
    counts = Counter(flag for exam in exams.values() for flag in exam.flags)
    return {flag: count for flag, count in counts.most_common() if count > max(1, len(exams) / 2)}


def _reasons(title: str, what: str, rows: Sequence[tuple[object, str]]) -> str:
    """A table of reasons with a heading; empty without rows."""
    cells = "".join(
        f'<tr><td>{html.escape(str(of))}</td><td class="text">{html.escape(why)}</td></tr>' for of, why in rows
    )
    head = f'<tr><th scope="col">{what}</th><th class="text" scope="col">why</th></tr>'
    return f"<h2>{title}</h2>{scrolling(f'<table>{head}{cells}</table>', title)}\n" if rows else ""


def _head(column: str) -> str:
    """A column's name in words: ``2ch_angle_deg`` to ``2ch angle, deg``."""
    words, _, unit = column.rpartition("_")
    return f"{words.replace('_', ' ')}, {_UNITS[unit]}" if unit in _UNITS else column.replace("_", " ")


def _rows(name: str, exam: Summary, columns: Sequence[str], shared: Mapping[Finding, int], exams: int) -> str:
    """An exam's numbers, and its flags. Flags of most exams have a number in the list above the table; those of all exams
    are only there."""
    link = f'<a href="{html.escape(name)}/{PAGE}">{html.escape(name)}</a>'
    above = [str(number) for number, flag in enumerate(shared, start=1) if flag in exam.flags and shared[flag] < exams]
    own = [flag for flag in exam.flags if flag not in shared] + exam.of("corrected-mask") + exam.of("no-dicom")
    told = [f"flag{'s' * (len(above) > 1)} {listed(above)} above"] if above else []
    flags = "<br>".join(map(html.escape, told + sentences(own)))
    cells = [_td("exam", link)]
    for key in columns:
        marks = f" {CORRECTED}" * (key in exam.corrected) + f" {FLAGGED}" * (key in exam.flagged)
        shown = html.escape(_cell(exam.values.get(key)))
        cells.append(_td(_head(key), shown + marks * (shown != "-"), "flagged" if key in exam.flagged else ""))
    more = f'<tr><td class="text" colspan="{1 + len(columns)}" data-column="flags">{flags}</td></tr>' if flags else ""
    return f'<tbody class="{"flagged" if exam.flags else "fine"}"><tr>{"".join(cells)}</tr>{more}</tbody>\n'


def _td(column: str, content: str, kind: str = "") -> str:
    """A cell; a phone shows the cells one below another, each with its column's name."""
    named = f' class="{kind}"' if kind else ""
    return f'<td{named} data-column="{html.escape(column)}">{content}</td>'


def _cell(value: object) -> str:
    if value is None or value != value:  # NaN
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else str(value)
