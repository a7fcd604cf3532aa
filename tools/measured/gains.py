"""Summarise the gains of pretraining in recorded studies: a headline and a table per study, and one count.

`write.py` puts them into documents. The verdicts come from the study's own page (`planewise.workshop.study.paired`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from planewise.words import count_of, listed
from planewise.workshop.study.paired import ONE_DRAW

#: Markdown of a table's cell for each verdict.
CELLS = {"better": "**{}**", "worse": "*{}*", "inconclusive": "{}", ONE_DRAW: "({})"}


@dataclass(frozen=True)
class Gain:
    """The difference between a method's score and that of training from scratch, for one number of labelled exams.

    Attributes:
        count: number of labelled exams.
        method: name of the method in tables.
        mean: mean difference over the draws.
        low, high: the 95 % interval; None if there is only one draw.
        verdict: ``"better"``, ``"worse"``, ``"inconclusive"`` or `ONE_DRAW`.
    """

    count: int
    method: str
    mean: float
    low: float | None
    high: float | None
    verdict: str


@dataclass(frozen=True)
class Study:
    """A study's gains.

    Attributes:
        title: the task and the data.
        score: name of the score.
        unit: unit of the counts, in the plural.
        gains: gains of all methods and counts, in the page's order.
        controls: methods that are not pretexts or repeat a pretext.
        draws: number of draws of the labels, by the number of labelled exams.
        scratch: score of training from scratch by the number of labelled exams; empty if there are several such trainings.
    """

    title: str
    score: str
    unit: str
    gains: list[Gain]
    controls: set[str] = field(default_factory=set)
    draws: dict[int, int] = field(default_factory=dict)
    scratch: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, record: Mapping[str, Any], entry: Mapping[str, Any]) -> Study:
        """Read the gains from a record.

        Args:
            record: the study's record.
            entry: an entry of ``tables.yaml`` with ``title``, ``score``, ``unit`` and ``table``; optionally ``baseline``, a
                regular expression for the baseline of the gains (by default scratch), ``names``, new names for methods,
                ``controls``, and ``scratch``, the table, row and column of the score from scratch, where ``*`` stands for the
                count and its unit.

        Raises:
            ValueError: the record has no such table, or the table has no row with this baseline.
        """
        if entry["table"] not in record["tables"]:
            raise ValueError(f"there is no table {entry['table']}; there are {', '.join(record['tables'])}")
        row_name = re.compile(rf"(\d+), (.+) minus {entry.get('baseline', 'scratch')}")
        gains: list[Gain] = []
        draws: dict[int, int] = {}
        for name, row in record["tables"][entry["table"]].items():
            if found := row_name.fullmatch(name):
                limits = re.fullmatch(r"(\S+) to (\S+)", row["95 % interval"])
                low, high = map(float, limits.groups()) if limits else (None, None)
                count, method = int(found[1]), entry.get("names", {}).get(found[2], found[2])
                draws[count] = max(draws.get(count, 1), len(row.get("each draw", "").split()))
                gains.append(Gain(count, method, float(row["mean"]), low, high, row["verdict"] if limits else ONE_DRAW))
        if not gains:
            raise ValueError(f"{entry['table']} has no row that ends with: minus {entry.get('baseline', 'scratch')}")
        controls = {gain.method for gain in gains if gain.method.endswith(" again")} | set(entry.get("controls", ()))
        scratch = _from_scratch(record["tables"], entry["scratch"]) if "scratch" in entry else {}
        return cls(entry["title"], entry["score"], entry["unit"], gains, controls, draws, scratch)

    @property
    def counts(self) -> list[int]:
        """Numbers of labelled exams, ascending."""
        return sorted({gain.count for gain in self.gains})

    @property
    def methods(self) -> list[str]:
        """Names of the methods, in the page's order."""
        return list(dict.fromkeys(gain.method for gain in self.gains))

    def headline(self) -> str:
        """For each count, how many pretexts are better and worse than training from scratch, and the extreme ones."""
        texts = []
        for count in self.counts:
            here = [gain for gain in self.gains if gain.count == count and gain.method not in self.controls]
            better, worse = ([gain for gain in here if gain.verdict == verdict] for verdict in ("better", "worse"))
            text = f"{len(better) or 'none'} of {len(here)} better with {count}"
            if better:
                best = max(better, key=lambda gain: gain.mean)
                text += f" (most: {best.method}, {best.mean:+.3f})"
            if worse:
                worst = min(worse, key=lambda gain: gain.mean)
                text += f", {len(worse)} worse (most: {worst.method}, {worst.mean:+.3f})"
            texts.append(text)
        drawn: dict[int, list[str]] = {}
        for count in self.counts:
            drawn.setdefault(self.draws.get(count, 1), []).append(str(count))
        draws = [
            count_of(number, "draw") + (f" with {listed(counts)}" if len(drawn) > 1 else "")
            for number, counts in drawn.items()
        ]
        return f"**{self.title}**, {self.score} by {self.unit}, {listed(draws)}: {'; '.join(texts)}."

    def table(self) -> str:
        """A table of gains with a row per method and a column per count, in Markdown."""
        cells = {(gain.method, gain.count): CELLS[gain.verdict].format(f"{gain.mean:+.3f}") for gain in self.gains}
        lines = [
            f"| {self.score} over scratch, by {self.unit} | {' | '.join(map(str, self.counts))} |",
            "|---|" + "--:|" * len(self.counts),
        ]
        if self.scratch:
            scores = " | ".join(self.scratch.get(count, "") for count in self.counts)
            lines.append(f"| score from scratch | {scores} |")
        for method in self.methods:
            lines.append(f"| {method} | {' | '.join(cells.get((method, count), '') for count in self.counts)} |")
        return "\n".join(lines) + "\n"


def _from_scratch(tables: Mapping[str, Any], path: str) -> dict[int, str]:
    """The scores from scratch by count, of a path such as ``Dice/*, from scratch/mean`` (`Study.of`).

    Raises:
        ValueError: the path leads to no score.
    """
    title, row_name, column = path.split("/")
    scores = {}
    for name, row in tables.get(title, {}).items():
        for key, cell in row.items():
            if cell and fnmatchcase(name, row_name) and fnmatchcase(key, column):
                counted = re.match(r"\d+", name if "*" in row_name else key)
                scores |= {int(counted[0]): cell.split()[0]} if counted else {}
    if not scores:
        raise ValueError(f"{path} leads to no score")
    return scores


def of_methods(studies: Sequence[Study], methods: Iterable[str]) -> str:
    """A table of the gains of some methods, with a row for each study that has the method, in Markdown."""
    lines = [
        "| fine-tuned for (on phantoms unless it says patients) | method | gain over scratch by the number of labels |"
    ]
    lines += ["|---|---|---|"]
    for study in studies:
        for method in methods:
            found = {gain.count: gain for gain in study.gains if gain.method == method}
            if found:
                cells = ", ".join(
                    f"{count}: {CELLS[found[count].verdict].format(f'{found[count].mean:+.3f}')}" for count in found
                )
                lines.append(f"| {study.title}, {study.score} | {method} | {cells} |")
    lines += [
        "",
        "**Bold** is better than scratch (the 95 % interval over draws excludes zero), *italics* is worse, and plain text",
    ]
    lines += ["is inconclusive; a number in brackets comes from one draw, which has no interval."]
    return "\n".join(lines) + "\n"


def verdicts_in_all(studies: Sequence[Study]) -> str:
    """The number of verdicts of all studies, also of controls and repetitions, and the number expected by chance."""
    measured = [gain for study in studies for gain in study.gains if gain.verdict != ONE_DRAW]
    decided = [gain for gain in measured if gain.verdict != "inconclusive"]
    better = sum(gain.verdict == "better" for gain in decided)
    return (
        f"In all, {len(decided)} of {len(measured)} intervals exclude zero ({better} better, {len(decided) - better} worse); "
        f"by chance, about {len(measured) / 20:.0f} would.\n"
    )
