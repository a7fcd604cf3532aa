"""Paired differences from training from scratch and from the paper's own pretext, draw by draw."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from planewise.words import count_of
from planewise.workshop.study.methods import method_name
from planewise.workshop.study.numbers import interval, paired_cases, paired_differences
from planewise.workshop.study.page import Page, Row
from planewise.workshop.study.study_figures import paired_draws

#: The score of each draw, by method and number of labelled exams.
Scores = Mapping[tuple[str, int], Mapping[int, float]]
#: The scores of each draw's cases, by method and number of labelled exams: arrays of one shape, NaN if a case has no score.
Cases = Mapping[tuple[str, int], Mapping[int, np.ndarray]]
#: The baselines that methods are compared with. Training from scratch itself is not compared with ``multitask`` again.
_BASELINES = ("none", "multitask")
#: The control of methods that are fine-tuned for longer: training from scratch for as long.
_LONG = "_long"
#: The verdict on a difference without an interval.
ONE_DRAW = "no verdict from one draw"
#: The verdict on a difference over fewer than half of the cases.
TOO_FEW_PAIRS = "- (too few pairs)"


class Compared(NamedTuple):
    """A method, its baseline, and the number of labelled exams."""

    count: int
    method: str
    other: str

    def __str__(self) -> str:
        other = "scratch" if self.other == "none" else method_name(self.other)
        return f"{self.count}, {method_name(self.method)} minus {other}"


@dataclass(frozen=True)
class Measured:
    """A score of a study's methods.

    Attributes:
        name: name of the score.
        scores: the score of each draw.
        lower_is_better: whether the score is a distance, so that a draw gains if the difference is below zero.
        cases: the scores of single cases, of which ``scores`` has the means; needed if some cases have no score. A difference
            is then the mean over the cases that have a score of both methods, so a method does not gain by lacking the score
            of a difficult case. If a draw has no scores of single cases, methods are compared by ``scores``.
    """

    name: str
    scores: Scores
    lower_is_better: bool = False
    cases: Cases = field(default_factory=dict)

    def difference(self, one: Compared) -> Difference:
        """The difference of a method from its baseline, over the draws that both have."""
        (own, other), (cases, of_other) = (
            [found.get((method, one.count), {}) for method in one[1:]] for found in (self.scores, self.cases)
        )
        if cases and own.keys() <= cases.keys() and other.keys() <= of_other.keys():
            return Difference(*paired_cases(cases, of_other), self.lower_is_better)
        return Difference(paired_differences(own, other), lower_is_better=self.lower_is_better)


@dataclass(frozen=True, eq=False)
class Difference:
    """A paired difference.

    Attributes:
        draws: the difference of each draw, ``(draws,)``.
        pairs: number of cases in all draws, if methods are compared case by case; None if they are compared draw by draw.
        left_out: number of these cases without a score of both methods.
        lower_is_better: see `Measured`.
    """

    draws: np.ndarray
    pairs: int | None = None
    left_out: int = 0
    lower_is_better: bool = False

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the mean; NaN for a single draw."""
        return interval(self.draws)

    @property
    def verdict(self) -> str:
        """``"better"`` or ``"worse"`` if the interval excludes zero, ``"inconclusive"`` if it contains zero,
        `ONE_DRAW` if there is no interval, `TOO_FEW_PAIRS` if most cases are left out."""
        low, high = self.interval
        if math.isnan(low):
            return ONE_DRAW
        if self.pairs is not None and 2 * self.left_out > self.pairs:
            return TOO_FEW_PAIRS
        if low <= 0 <= high:
            return "inconclusive"
        return "better" if (self.draws.mean() < 0) == self.lower_is_better else "worse"


def add_paired(page: Page, measured: Measured, lead: bool = False) -> dict[Compared, Difference]:
    """Add paired differences to a page: a table and a picture of each method's gain over ``none``, and a table of its gain
    over ``multitask``, which is left out if the study has no methods besides these two.

    Distances and single draws get no picture.

    Args:
        page: the page to add to.
        measured: the score.
        lead: whether the verdicts in words and the picture stand at the top of the page, as the study's main result.

    Returns:
        The differences of the tables.
    """
    found: dict[Compared, Difference] = {}
    name, scores = measured.name, measured.scores
    methods = dict.fromkeys(method for method, _ in scores)
    control = f"none{_LONG}"
    # with a control of as many steps, longer fine-tunings are compared with nothing else
    controlled = [run for run in scores if control in methods and run[0].endswith(_LONG) and run[0] != control]
    for baseline in _BASELINES:
        if baseline == "multitask" and not methods.keys() - _BASELINES:
            continue
        title = f"Paired differences in {name}" + ("" if baseline == "none" else f" from {method_name(baseline)}")
        compared = [
            Compared(count, method, baseline)
            for method, count in scores
            if method not in ("none", baseline) and (method, count) not in controlled
        ]
        found |= add_differences(page, title, measured, compared)
    title = f"Paired differences in {name}, four times the steps"
    found |= add_differences(page, title, measured, [Compared(*run[::-1], control) for run in controlled])
    if lead:
        _add_verdicts(page, name, found)
    several = any(len(draws) > 1 for draws in scores.values())
    if several and not measured.lower_is_better and any(one.other == "none" for one in found):
        caption = (
            f"{name[0].upper()}{name[1:]} of each draw, minus training from scratch with the same {page.labelled}s (dots); "
            "their mean (diamonds) and its 95 % interval (bars)."
        )
        equal = {run: draws for run, draws in scores.items() if run not in controlled}
        page.figure(paired_draws(equal, f"{name} on test exams"), caption, lead)
    return found


def _add_verdicts(page: Page, name: str, found: Mapping[Compared, Difference]) -> None:
    """State at the top of the page, for each number of labelled exams, which methods differ from training from scratch."""
    groups: dict[int, dict[str, list[str]]] = {}
    for one, difference in found.items():
        if one.other == "none":
            named = f"{method_name(one.method)} ({difference.draws.mean():+.3f})"
            groups.setdefault(one.count, {}).setdefault(difference.verdict, []).append(named)
    lines = []
    for count, verdicts in sorted(groups.items()):
        words = "; ".join(f"{verdict}: {', '.join(verdicts[verdict])}" for verdict in sorted(verdicts))
        lines.append(f"<li>{html.escape(f'{count_of(count, page.labelled)}: {words}', quote=False)}</li>")
    if lines:
        page.head.append(
            f"<p>Gain in {name} over training from scratch, mean over the draws. A method is better or worse if the 95 % "
            f"interval of its gain excludes zero.</p><ul>{''.join(lines)}</ul>"
        )


def add_differences(
    page: Page, title: str, measured: Measured, compared: Iterable[Compared]
) -> dict[Compared, Difference]:
    """Add a table of differences draw by draw, with a verdict on each, and the number of verdicts expected by chance. Add
    nothing if no comparison has shared draws.

    Args:
        page: the page to add to.
        title: title of the table.
        measured: the score.
        compared: the comparisons, one row each; those without shared draws get no row.

    Returns:
        The differences of the table's rows.
    """
    every = {one: measured.difference(one) for one in compared}
    found = {one: difference for one, difference in every.items() if len(difference.draws)}
    rows = []
    for one, difference in found.items():
        draws, (low, high) = difference.draws, difference.interval
        several = len(draws) > 1
        page.differences.append(
            {
                "table": title,
                "labelled_exams": one.count,
                "method": one.method,
                "baseline": one.other,
                "draws": len(draws),
                "mean": float(draws.mean()),
                "standard_deviation": float(draws.std(ddof=1)) if several else None,
                "low": low if several else None,
                "high": high if several else None,
                "verdict": difference.verdict,
                **(
                    {}
                    if difference.pairs is None
                    else {"pairs": difference.pairs, "pairs_left_out": difference.left_out}
                ),
                **{f"difference_{number}": float(value) for number, value in enumerate(draws, start=1)},
            }
        )
        left_out = "-" if difference.pairs is None else f"{difference.left_out} of {difference.pairs}"
        rows.append(
            Row.of(
                str(one),
                f"{draws.mean():+.3f}",
                f"{draws.std(ddof=1):.3f}" if several else "-",
                f"{low:+.3f} to {high:+.3f}" if several else "-",
                f"{(draws < 0 if measured.lower_is_better else draws > 0).sum()} of {len(draws)}",
                *([left_out] if measured.cases else []),
                " ".join(f"{value:+.3f}" for value in draws),
                difference.verdict,
            )
        )
    each = ["pairs left out"] if measured.cases else []
    header = ["mean", "standard deviation", "95 % interval", "draws that gained", *each, "each draw", "verdict"]
    page.table(title, [f"{page.labelled}s", *header], rows)
    if without := [str(one) for one, difference in every.items() if one not in found and difference.left_out]:
        page.note("No pair is left: {}.", "; ".join(without))
    verdicts = [difference.verdict for difference in found.values()]
    if several := [verdict for verdict in verdicts if verdict not in (ONE_DRAW, TOO_FEW_PAIRS)]:
        page.note(
            f"{sum(verdict != 'inconclusive' for verdict in several)} of {len(several)} intervals exclude zero; by chance "
            "alone, about one in twenty does. An interval covers neither the test exams nor the seed of a pretraining."
        )
    return found
