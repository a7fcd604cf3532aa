"""Paired differences from training from scratch, draw by draw."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from planewise.words import count_of
from planewise.workshop.study.methods import SCRATCH, comparisons, longer, method_name
from planewise.workshop.study.numbers import ONE_DRAW, interval, paired_differences, verdict
from planewise.workshop.study.page import Page
from planewise.workshop.study.study_figures import paired_draws

#: The score of each draw, by method and number of labelled exams.
Scores = Mapping[tuple[str, int], Mapping[int, float]]
#: The verdict on a lead, before the method that it is over.
_OVER = {"better": "better than", "inconclusive": "inconclusive against"}


class Compared(NamedTuple):
    """A method, its baseline, and the number of labelled exams."""

    count: int
    method: str
    other: str

    def __str__(self) -> str:
        other = "scratch" if self.other == SCRATCH else method_name(self.other)
        return f"{self.count}, {method_name(self.method)} minus {other}"


def add_paired(page: Page, name: str, scores: Scores, lead: bool = False) -> None:
    """Add paired differences to a page: a table and a picture of each method's gain over ``none``, and a table for each of
    `comparisons`. Single draws get no picture.

    A larger score is better. With ``lead``, the verdicts in words and the picture stand at the top of the page, as the
    study's main result.
    """
    methods = list(dict.fromkeys(method for method, _ in scores))
    # with a control of as many steps, longer fine-tunings are compared with nothing else
    equal = {run: draws for run, draws in scores.items() if run[0] not in longer(methods)}
    title = f"Paired differences in {name}"
    compared = [Compared(count, method, SCRATCH) for method, count in equal if method != SCRATCH]
    gains = add_differences(page, title, scores, compared)
    counts = sorted({count for _, count in scores})
    for ending, pairs in comparisons(methods).items():
        add_differences(page, title + ending, scores, [Compared(count, *pair) for count in counts for pair in pairs])
    if lead:
        about = (
            f"Gain in {name} over training from scratch, mean over the draws. A method is better or worse if the 95 % "
            "interval of its gain excludes zero."
        )
        _add_verdicts(page, about, gains)
        leads = add_differences(page, f"{title} of the best method", scores, _best(equal))
        about = (
            f"The method with the highest {name} on average, and its lead over each of the others. The same scores chose it, "
            "so its lead may be too large."
        )
        _add_verdicts(page, about, leads, best=True)
    if gains and any(len(draws) > 1 for draws in scores.values()):
        caption = (
            f"{name[0].upper()}{name[1:]} of each draw, minus training from scratch with the same {page.labelled}s (dots); "
            "their mean (diamonds) and its 95 % interval (bars)."
        )
        differences = {(one.method, one.count): values for one, values in gains.items()}
        page.figure(paired_draws(differences, f"{name} on test exams"), caption, lead)


def _add_verdicts(page: Page, about: str, found: Mapping[Compared, np.ndarray], best: bool = False) -> None:
    """State at the top of the page, for each number of labelled exams, which methods differ from training from scratch; or,
    with ``best``, from which others the best one differs."""
    groups: dict[tuple[int, str], dict[str, list[str]]] = {}
    for one, draws in found.items():
        named = f"{method_name(one.other if best else one.method)} ({draws.mean():+.3f})"
        said = _OVER.get(verdict(draws), verdict(draws)) if best else verdict(draws)
        first = f"{method_name(one.method)}, " if best else ""
        groups.setdefault((one.count, first), {}).setdefault(said, []).append(named)
    lines = []
    for (count, first), verdicts in sorted(groups.items()):
        words = "; ".join(f"{said}: {', '.join(verdicts[said])}" for said in sorted(verdicts))
        lines.append(f"<li>{html.escape(f'{count_of(count, page.labelled)}: {first}{words}', quote=False)}</li>")
    if lines:
        page.head.append(f"<p>{about}</p><ul>{''.join(lines)}</ul>")


def _best(scores: Scores) -> list[Compared]:
    """For each number of labelled exams with three methods or more, the method with the highest mean over the draws that all
    have, and each of the others."""
    compared = []
    for count in sorted({count for _, count in scores}):
        runs = {method: draws for (method, each), draws in scores.items() if each == count}
        shared = set.intersection(*map(set, runs.values()))
        if len(runs) > 2 and len(shared) > 1:
            means = {method: np.mean([draws[draw] for draw in sorted(shared)]) for method, draws in runs.items()}
            best = max(means, key=means.__getitem__)
            compared += [Compared(count, best, other) for other in runs if other != best]
    return compared


def add_differences(page: Page, title: str, scores: Scores, compared: Iterable[Compared]) -> dict[Compared, np.ndarray]:
    """Add a table of differences draw by draw, with a verdict on each, and the number of verdicts expected by chance.
    Comparisons without shared draws get no row, and a table without rows is left out.

    Returns:
        The difference of each draw in the table's rows, ``(draws,)``.
    """
    every = {one: [scores.get((method, one.count), {}) for method in one[1:]] for one in compared}
    found = {one: draws for one, both in every.items() if len(draws := paired_differences(*both))}
    rows = []
    for one, draws in found.items():
        (low, high), several = interval(draws), len(draws) > 1
        numbers = {
            "table": title,
            "labelled_exams": one.count,
            "method": one.method,
            "baseline": one.other,
            "draws": len(draws),
            "mean": float(draws.mean()),
            "standard_deviation": float(draws.std(ddof=1)) if several else None,
            "low": low if several else None,
            "high": high if several else None,
            "verdict": verdict(draws),
        }
        each = {f"difference_{number}": float(value) for number, value in enumerate(draws, start=1)}
        page.differences.append(numbers | each)
        rows.append(
            [
                str(one),
                f"{draws.mean():+.3f}",
                f"{numbers['standard_deviation']:.3f}" if several else "-",
                f"{low:+.3f} to {high:+.3f}" if several else "-",
                f"{(draws > 0).sum()} of {len(draws)}",
                " ".join(f"{value:+.3f}" for value in draws),
                numbers["verdict"],
            ]
        )
    header = ["mean", "standard deviation", "95 % interval", "draws that gained", "each draw", "verdict"]
    page.table(title, [f"{page.labelled}s", *header], rows)
    if several := [said for said in map(verdict, found.values()) if said != ONE_DRAW]:
        page.note(
            f"{sum(said != 'inconclusive' for said in several)} of {len(several)} intervals exclude zero; by chance "
            "alone, about one in twenty does. An interval covers neither the test exams nor the seed of a pretraining."
        )
    return found
