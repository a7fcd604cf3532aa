"""Paired differences from training from scratch and from the paper's own pretext, draw by draw."""

from __future__ import annotations

import html
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from planewise.exams.words import count_of, listed
from planewise.reports.methods import method_name
from planewise.reports.study.numbers import interval, paired_cases, paired_differences
from planewise.reports.study.page import Page, Row
from planewise.reports.study_figures import paired_draws

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
_VERDICTS = ("better", "worse", "inconclusive", ONE_DRAW, TOO_FEW_PAIRS)


class Compared(NamedTuple):
    """A method, its baseline, and the number of labelled exams."""

    count: int
    method: str
    other: str

    def __str__(self) -> str:
        other = "scratch" if self.other == "none" else method_name(self.other)
        return f"{self.count}, {method_name(self.method)} minus {other}"


@dataclass(frozen=True)
class Difference:
    """A paired difference: its mean over the draws, and its 95 % interval, NaN for a single draw.

    Attributes:
        mean, low, high: the mean and the limits of the interval.
        pairs: number of cases in all draws, if methods are compared case by case; None if they are compared draw by draw.
        left_out: number of these cases without a score of both methods.
        draws: number of draws.
    """

    mean: float
    low: float
    high: float
    pairs: int | None = None
    left_out: int = 0
    draws: int = 1

    @classmethod
    def of(cls, differences: np.ndarray, pairs: int | None = None, left_out: int = 0) -> Difference:
        """Summarise the differences of all draws, ``(draws,)``."""
        return cls(float(differences.mean()), *interval(differences), pairs, left_out, len(differences))

    @property
    def is_measured(self) -> bool:
        """Whether there is an interval."""
        return not math.isnan(self.low)

    @property
    def has_verdict(self) -> bool:
        """Whether there is an interval, and both methods have scores of at least half of the cases."""
        return self.is_measured and (self.pairs is None or 2 * self.left_out <= self.pairs)

    @property
    def is_decided(self) -> bool:
        """Whether the interval excludes zero, over enough cases."""
        return self.has_verdict and (self.low > 0 or self.high < 0)

    def verdict(self, lower_is_better: bool = False) -> str:
        """``"better"`` or ``"worse"`` if the interval excludes zero, ``"inconclusive"`` if it contains zero,
        `ONE_DRAW` if there is no interval, `TOO_FEW_PAIRS` if most cases are left out."""
        if not self.is_measured:
            return ONE_DRAW
        if not self.has_verdict:
            return TOO_FEW_PAIRS
        if not self.is_decided:
            return "inconclusive"
        return "better" if (self.mean < 0) == lower_is_better else "worse"

    @property
    def interval_in_words(self) -> str:
        """The interval as text for a table's cell."""
        return f"{self.low:+.3f} to {self.high:+.3f}" if self.is_measured else "-"


def add_paired(
    page: Page,
    scores: Scores,
    name: str,
    repeats: Mapping[str, str] | None = None,
    lower_is_better: bool = False,
    lead: bool = False,
    blank: Collection[tuple[str, int]] = (),
    cases: Cases = MappingProxyType({}),
    labelled: str = "labelled exam",
) -> dict[Compared, Difference]:
    """Add paired differences to a page: a table and a picture of each method's gain over ``none``, and a table of its gain
    over ``multitask``, which is left out if the study has no methods besides these two.

    Args:
        page: the page to add to.
        scores: the score of each draw, by method and number of labelled exams.
        name: name of the score.
        repeats: maps each method that pretrains again with another seed to the method that it repeats; a table shows how far
            apart these are.
        lower_is_better: whether the score is a distance, so that a draw gains if the difference is below zero. Distances
            and single draws get no picture.
        lead: whether the verdicts in words and the picture stand at the top of the page, as the study's main result.
        blank: methods and numbers of labelled exams whose networks predict only background; the words at the top give
            them no gain.
        cases: the scores of single cases, see `add_differences`.
        labelled: the page's word for a labelled exam.

    Returns:
        The differences of the tables.
    """
    found: dict[Compared, Difference] = {}
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
        found |= add_differences(page, title, scores, compared, lower_is_better, cases, labelled)
    if controlled:
        title = f"Paired differences in {name}, four times the steps"
        compared = [Compared(*run[::-1], control) for run in controlled]
        found |= add_differences(page, title, scores, compared, lower_is_better, cases, labelled)
    rows = []
    for method, count in scores:
        differences, *pairs = _differences(scores, cases, (method, count), ((repeats or {}).get(method, ""), count))
        if len(differences):
            seeds = Difference.of(differences, *pairs)
            rows.append(
                Row.of(f"{count}, {method_name(method)}", f"{seeds.mean:+.3f}", seeds.interval_in_words),
            )
    if rows:
        page.table(f"Another seed: differences in {name}", [f"{labelled}s", "mean", "95 % interval"], rows)
        page.note("A method pretrained again from another seed, minus its first run: they differ only by chance.")
    if lead:
        _add_verdicts(page, name, found, lower_is_better, blank, labelled)
    several = any(len(draws) > 1 for draws in scores.values())
    if several and not lower_is_better and any(compared.other == "none" for compared in found):
        caption = (
            f"{name[0].upper()}{name[1:]} of each draw, minus training from scratch with the same {labelled}s (dots); "
            "their mean (diamonds) and its 95 % interval (bars)."
        )
        equal = {run: draws for run, draws in scores.items() if run not in controlled}
        page.figure(paired_draws(equal, f"{name} on test exams"), caption, main=True, lead=lead)
    return found


def _add_verdicts(
    page: Page,
    name: str,
    found: Mapping[Compared, Difference],
    lower_is_better: bool,
    blank: Collection[tuple[str, int]],
    labelled: str,
) -> None:
    """State at the top of the page, for each number of labelled exams, which methods differ from training from scratch."""
    lines = []
    for count in sorted({one.count for one in found}):
        groups: dict[str, list[str]] = {verdict: [] for verdict in _VERDICTS}
        draws = set()
        for one, difference in found.items():
            if one.count == count and one.other == "none" and (one.method, count) not in blank:
                named = f"{method_name(one.method)} ({difference.mean:+.3f})"
                groups[difference.verdict(lower_is_better)].append(named)
                draws.add(difference.draws)
        words = [f"{verdict}: {', '.join(names)}" for verdict, names in groups.items() if names]
        if empty := [method_name(method) for method, number in blank if number == count]:
            words.append(f"predicts only background, so train longer: {', '.join(empty)}")
        if words:
            of = f" ({listed(map(str, sorted(draws)))} draws)" if max(draws, default=1) > 1 else ""
            lines.append(
                f"<li>{html.escape(f'{count_of(count, labelled)}{of}: ' + '; '.join(words), quote=False)}</li>"
            )
    if lines:
        page.lead(
            f"<p>Gain in {name} over training from scratch, mean over the draws. A method is better or worse if the 95 % "
            f"interval of its gain excludes zero.</p><ul>{''.join(lines)}</ul>"
        )


def add_differences(
    page: Page,
    title: str,
    scores: Scores,
    compared: Iterable[Compared],
    lower_is_better: bool = False,
    cases: Cases = MappingProxyType({}),
    labelled: str = "labelled exam",
) -> dict[Compared, Difference]:
    """Add a table of differences draw by draw, with a verdict on each, and the number of verdicts expected by chance. Add
    nothing if no comparison has shared draws.

    Args:
        page: the page to add to.
        title: title of the table.
        scores: see `add_paired`.
        compared: the comparisons, one row each; those without shared draws get no row.
        lower_is_better: see `add_paired`.
        cases: the scores of single cases, of which ``scores`` has the means; needed if some cases have no score. A difference
            is then the mean over the cases that have a score of both methods, so a method does not gain by lacking the score
            of a difficult case. If a draw has no scores of single cases, methods are compared by ``scores``.
        labelled: see `add_paired`.

    Returns:
        The differences of the table's rows.
    """
    found: dict[Compared, Difference] = {}
    rows, without = [], []
    for one in compared:
        count, method, other = one
        differences, pairs, left_out = _differences(scores, cases, (method, count), (other, count))
        if not len(differences):
            without += [str(one)] if left_out else []
            continue
        found[one] = difference = Difference.of(differences, pairs, left_out)
        deviation = float(differences.std(ddof=1)) if len(differences) > 1 else None
        page.differences.append(
            {
                "table": title,
                "labelled_exams": count,
                "method": method,
                "baseline": other,
                "draws": len(differences),
                "mean": difference.mean,
                "standard_deviation": deviation,
                "low": difference.low if difference.is_measured else None,
                "high": difference.high if difference.is_measured else None,
                "verdict": difference.verdict(lower_is_better),
                **({} if pairs is None else {"pairs": pairs, "pairs_left_out": left_out}),
                **{f"difference_{number}": float(value) for number, value in enumerate(differences, start=1)},
            }
        )
        rows.append(
            Row.of(
                str(one),
                f"{differences.mean():+.3f}",
                "-" if deviation is None else f"{deviation:.3f}",
                difference.interval_in_words,
                f"{(differences < 0 if lower_is_better else differences > 0).sum()} of {len(differences)}",
                *([] if not cases else ["-"] if pairs is None else [f"{left_out} of {pairs}"]),
                " ".join(f"{value:+.3f}" for value in differences),
                difference.verdict(lower_is_better),
            )
        )
    if rows:
        each = ["pairs left out"] if cases else []
        header = ["mean", "standard deviation", "95 % interval", "draws that gained", *each, "each draw", "verdict"]
        page.table(title, [f"{labelled}s", *header], rows)
    if without:
        page.note("No pair is left: {}.", "; ".join(without))
    if measured := [difference for difference in found.values() if difference.has_verdict]:
        decided = sum(difference.is_decided for difference in measured)
        page.note(
            f"{decided} of {len(measured)} intervals exclude zero; by chance alone, about one in twenty does. An interval "
            "covers neither the choice of the test exams nor the seed of a pretraining; from fewer than five draws, or from "
            "draws that share labelled exams, it may be too short."
        )
    return found


def _differences(
    scores: Scores, cases: Cases, run: tuple[str, int], baseline: tuple[str, int]
) -> tuple[np.ndarray, int | None, int]:
    """The differences of the draws that two methods share, ``(draws,)``; the number of cases, and how many are left out.

    Without the scores of every draw's cases, the differences are those of ``scores``, and there is no number of cases.
    """
    one, other = scores.get(run, {}), scores.get(baseline, {})
    cases_of_one, cases_of_other = cases.get(run, {}), cases.get(baseline, {})
    if cases_of_one and one.keys() <= cases_of_one.keys() and other.keys() <= cases_of_other.keys():
        return paired_cases(cases_of_one, cases_of_other)
    return paired_differences(one, other), None, 0
