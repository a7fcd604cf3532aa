"""Paired differences from training from scratch and from the paper's own pretext, draw by draw."""

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
#: The baselines that methods are compared with. Training from scratch itself is not compared with ``multitask`` again.
_BASELINES = (SCRATCH, "multitask")


class Compared(NamedTuple):
    """A method, its baseline, and the number of labelled exams."""

    count: int
    method: str
    other: str

    def __str__(self) -> str:
        other = "scratch" if self.other == SCRATCH else method_name(self.other)
        return f"{self.count}, {method_name(self.method)} minus {other}"


def add_paired(page: Page, name: str, scores: Scores, lead: bool = False) -> None:
    """Add paired differences to a page: a table and a picture of each method's gain over ``none``, a table of its gain over
    ``multitask``, which is left out if the study has no methods besides these two, and a table for each of `comparisons`.

    Single draws get no picture.

    Args:
        page: the page to add to.
        name: name of the score; a larger score is better.
        scores: the score of each draw.
        lead: whether the verdicts in words and the picture stand at the top of the page, as the study's main result.
    """
    methods = list(dict.fromkeys(method for method, _ in scores))
    # with a control of as many steps, longer fine-tunings are compared with nothing else
    equal = {run: draws for run, draws in scores.items() if run[0] not in longer(methods)}
    gains: dict[Compared, np.ndarray] = {}
    title = f"Paired differences in {name}"
    for baseline in _BASELINES:
        if baseline == SCRATCH or {*methods} - {*_BASELINES}:
            of = "" if baseline == SCRATCH else f" from {method_name(baseline)}"
            compared = [
                Compared(count, method, baseline) for method, count in equal if method not in (SCRATCH, baseline)
            ]
            found = add_differences(page, title + of, scores, compared)
            gains = found if baseline == SCRATCH else gains
    counts = sorted({count for _, count in scores})
    for ending, pairs in comparisons(methods).items():
        add_differences(page, title + ending, scores, [Compared(count, *pair) for count in counts for pair in pairs])
    if lead:
        _add_verdicts(page, name, gains)
    if gains and any(len(draws) > 1 for draws in scores.values()):
        caption = (
            f"{name[0].upper()}{name[1:]} of each draw, minus training from scratch with the same {page.labelled}s (dots); "
            "their mean (diamonds) and its 95 % interval (bars)."
        )
        differences = {(one.method, one.count): values for one, values in gains.items()}
        page.figure(paired_draws(differences, f"{name} on test exams"), caption, lead)


def _add_verdicts(page: Page, name: str, gains: Mapping[Compared, np.ndarray]) -> None:
    """State at the top of the page, for each number of labelled exams, which methods differ from training from scratch."""
    groups: dict[int, dict[str, list[str]]] = {}
    for one, draws in gains.items():
        named = f"{method_name(one.method)} ({draws.mean():+.3f})"
        groups.setdefault(one.count, {}).setdefault(verdict(draws), []).append(named)
    lines = []
    for count, verdicts in sorted(groups.items()):
        words = "; ".join(f"{said}: {', '.join(verdicts[said])}" for said in sorted(verdicts))
        lines.append(f"<li>{html.escape(f'{count_of(count, page.labelled)}: {words}', quote=False)}</li>")
    if lines:
        page.head.append(
            f"<p>Gain in {name} over training from scratch, mean over the draws. A method is better or worse if the 95 % "
            f"interval of its gain excludes zero.</p><ul>{''.join(lines)}</ul>"
        )


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
