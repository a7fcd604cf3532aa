"""A study's mean scores with intervals as one small table; `write.py` puts it into documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tools.measured.gains import CELLS


def score_table(record: Mapping[str, Any] | None, entry: Mapping[str, Any]) -> str:
    """A table in Markdown with a row for each start of a training and a column for each number of labels.

    A cell has the mean score over the draws and the 95 % interval of the gain over training from scratch with as many labels
    and steps. It is "-" if the record does not have the score.

    Args:
        record: the study's record; None if the study has not run.
        entry: what an entry of ``tables.yaml`` has under ``scores``: ``table``, the title of the table of scores; ``head``,
            the heading of the first column; ``columns``, which maps a heading to a number of labels and the ending of
            the methods' names; and ``rows``, which maps a name to methods, of which a cell shows the first with a score.
    """
    tables = record["tables"] if record else {}
    differences = {
        name: row
        for title, rows in tables.items()
        if title.startswith(f"Paired differences in mean {entry['table']}")
        for name, row in rows.items()
    }
    lines = [f"| {entry['head']} | {' | '.join(entry['columns'])} |", "|---|" + "--:|" * len(entry["columns"])]
    for start, methods in entry["rows"].items():
        cells = []
        for count, ending in entry["columns"].values():
            scores = [f"{count}, {method}{ending}" for method in methods]
            known = [name for name in scores if name in tables.get(entry["table"], {})]
            baseline = f"from scratch{ending}" if ending else "scratch"
            cells.append(
                _cell(tables[entry["table"]][known[0]], differences.get(f"{known[0]} minus {baseline}"))
                if known
                else "-"
            )
        lines.append(f"| {start} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(score: Mapping[str, str], difference: Mapping[str, str] | None) -> str:
    """A mean score, in bold or italics if the gain is better or worse than scratch, and the gain's interval in brackets."""
    mean = score["mean"].split()[0]
    if difference is None or difference["verdict"] not in CELLS or difference["95 % interval"] == "-":
        return mean
    return f"{CELLS[difference['verdict']].format(mean)} ({difference['95 % interval']})"
