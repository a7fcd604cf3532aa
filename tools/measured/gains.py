"""Tables of the gains of pretraining and of mean scores in recorded studies; `write.py` puts them into documents."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from planewise.words import listed
from planewise.workshop.study.paired import ONE_DRAW

#: Markdown of a table's cell for each verdict.
CELLS = {"better": "**{}**", "worse": "*{}*", "inconclusive": "{}", ONE_DRAW: "({})"}
_MEANING = """
**Bold** is better than scratch (the 95 % interval over draws excludes zero), *italics* is worse, and plain text
is inconclusive; a number in brackets comes from one draw, which has no interval.
"""


class Gain(NamedTuple):
    """The mean difference between a method's score and that of training from scratch, and its verdict."""

    mean: float
    verdict: str

    def __str__(self) -> str:
        return CELLS[self.verdict].format(f"{self.mean:+.3f}")


@dataclass(frozen=True)
class Study:
    """A study's gains.

    Attributes:
        title: the task and the data.
        score: name of the score.
        unit: unit of the counts, in the plural.
        gains: gains by method and number of labelled exams, in the page's order.
        draws: number of draws of the labels, by the number of labelled exams.
        scratch: score of training from scratch by the number of labelled exams; empty if there are several such trainings.
    """

    title: str
    score: str
    unit: str
    gains: dict[str, dict[int, Gain]] = field(default_factory=dict)
    draws: dict[int, int] = field(default_factory=dict)
    scratch: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, record: Mapping[str, Any], entry: Mapping[str, Any]) -> Study:
        """Read the gains from a record.

        Args:
            record: the study's record.
            entry: an entry of ``tables.yaml`` with ``title``, ``score``, ``unit`` and ``table``; optionally ``baseline``, a
                regular expression for the baseline of the gains (by default scratch), ``names``, new names for methods,
                and ``scratch``, the table, row and column of the score from scratch, where ``*`` stands for the count and
                its unit.

        Raises:
            ValueError: the record has no such table or score, or the table has no row with this baseline.
        """
        if entry["table"] not in record["tables"]:
            raise ValueError(f"there is no table {entry['table']}; there are {', '.join(record['tables'])}")
        study = cls(entry["title"], entry["score"], entry["unit"])
        row_name = re.compile(rf"(\d+), (.+) minus {entry.get('baseline', 'scratch')}")
        for name, row in record["tables"][entry["table"]].items():
            if found := row_name.fullmatch(name):
                count, method = int(found[1]), entry.get("names", {}).get(found[2], found[2])
                verdict = ONE_DRAW if row["95 % interval"] == "-" else row["verdict"]
                study.gains.setdefault(method, {})[count] = Gain(float(row["mean"]), verdict)
                study.draws[count] = max(study.draws.get(count, 1), len(row.get("each draw", "").split()))
        if not study.gains:
            raise ValueError(f"{entry['table']} has no row that ends with: minus {entry.get('baseline', 'scratch')}")
        if path := entry.get("scratch"):
            title, row_name, column = path.split("/")
            for name, row in record["tables"].get(title, {}).items():
                for key, cell in row.items():
                    if cell and fnmatchcase(name, row_name) and fnmatchcase(key, column):
                        counted = re.match(r"\d+", name if "*" in row_name else key)
                        study.scratch.update({int(counted[0]): cell.split()[0]} if counted else {})
            if not study.scratch:
                raise ValueError(f"{path} leads to no score")
        return study

    def table(self) -> str:
        """The number of draws, and a table of gains with a row per method and a column per count, in Markdown."""
        counts = sorted(self.draws)
        draws = [str(self.draws[count]) for count in counts]
        lines = [
            f"**{self.title}**, {self.score} by {self.unit}, draws: {draws[0] if len({*draws}) == 1 else listed(draws)}\n",
            f"| {self.score} over scratch, by {self.unit} | {' | '.join(map(str, counts))} |",
            "|---|" + "--:|" * len(counts),
        ]
        rows = ({"score from scratch": self.scratch} if self.scratch else {}) | self.gains
        lines += [
            f"| {name} | {' | '.join(str(row.get(count, '')) for count in counts)} |" for name, row in rows.items()
        ]
        return "\n".join(lines) + "\n"


def of_methods(studies: Sequence[Study], methods: Iterable[str]) -> str:
    """A table of the gains of some methods, with a row for each study that has the method, in Markdown."""
    lines = [
        "| fine-tuned for (on phantoms unless it says patients) | method | gain over scratch by the number of labels |",
        "|---|---|---|",
    ]
    for study in studies:
        for method in methods:
            if found := study.gains.get(method):
                cells = ", ".join(f"{count}: {gain}" for count, gain in found.items())
                lines.append(f"| {study.title}, {study.score} | {method} | {cells} |")
    return "\n".join(lines) + "\n" + _MEANING


def verdicts_in_all(studies: Sequence[Study]) -> str:
    """The number of verdicts of all studies, also of controls and repetitions, and the number expected by chance."""
    verdicts = [gain.verdict for study in studies for row in study.gains.values() for gain in row.values()]
    better, worse, open_ = (verdicts.count(verdict) for verdict in ("better", "worse", "inconclusive"))
    measured = better + worse + open_
    return (
        f"In all, {better + worse} of {measured} intervals exclude zero ({better} better, {worse} worse); "
        f"by chance, about {measured / 20:.0f} would.\n"
    )


def score_table(record: Mapping[str, Any] | None, entry: Mapping[str, Any]) -> str:
    """A table in Markdown with a row for each start of a training and a column for each number of labels.

    A cell has the mean score over the draws, marked by its verdict, and the 95 % interval of the gain over training from
    scratch with as many labels and steps. It is "-" if the record does not have the score.

    Args:
        record: the study's record; None if the study has not run.
        entry: what an entry of ``tables.yaml`` has under ``scores``: ``table``, the title of the table of scores; ``head``,
            the heading of the first column; ``columns``, which maps a heading to a number of labels and the ending of
            the methods' names; and ``rows``, which maps a name to methods, of which a cell shows the first with a score.
    """
    tables = record["tables"] if record else {}
    known = tables.get(entry["table"], {})
    paired = [
        rows for title, rows in tables.items() if title.startswith(f"Paired differences in mean {entry['table']}")
    ]
    gains = {name: row for rows in paired for name, row in rows.items() if row["95 % interval"] != "-"}
    lines = [f"| {entry['head']} | {' | '.join(entry['columns'])} |", "|---|" + "--:|" * len(entry["columns"])]
    for start, methods in entry["rows"].items():
        cells = []
        for count, ending in entry["columns"].values():
            name = next((name for each in methods if (name := f"{count}, {each}{ending}") in known), None)
            gain = gains.get(f"{name} minus {f'from scratch{ending}' if ending else 'scratch'}")
            mean = known[name]["mean"].split()[0] if name else "-"
            cells.append(f"{CELLS[gain['verdict']].format(mean)} ({gain['95 % interval']})" if gain else mean)
        lines.append(f"| {start} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
