"""Numbers of several draws as one; paired differences from training from scratch and between methods, draw by draw, and the
plots of a study."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping
from itertools import cycle
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from scipy.stats import t as student

from planewise.words import count_of
from planewise.workshop.study.folder import SCRATCH, StudyFolder
from planewise.workshop.study.page import Page

#: The page's word for what a study draws.
_EXAM = "labelled exam"
#: The verdict on a difference without an interval.
ONE_DRAW = "no verdict from one draw"
#: The score of each draw, by method and number of labelled exams.
Scores = Mapping[tuple[str, int], Mapping[int, float]]


def over_draws(values: Iterable[float | None], digits: int = 3) -> str:
    """Mean (standard deviation) of the draws with known values; only the mean for one draw, "-" for none. The draws are a
    sample, so this is the sample standard deviation (dividing by n - 1)."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    deviation = f" ({np.std(known, ddof=1):.{digits}f})" if len(known) > 1 else ""
    return f"{np.mean(known):.{digits}f}{deviation}"


def paired_differences(scores: Mapping[int, float], baseline: Mapping[int, float]) -> np.ndarray:
    """A method's score minus the baseline's, shape ``(draws,)``, for the draws that both have, in order.

    With few labelled exams, most of the spread comes from the choice of exams; both methods of a draw see the same exams.
    """
    return np.array([scores[draw] - baseline[draw] for draw in sorted(scores.keys() & baseline.keys())])


def interval(differences: np.ndarray) -> tuple[float, float]:
    """95 % confidence interval of the mean of paired differences, ``(draws,)``, by Student's t; NaN for fewer than two."""
    if len(differences) < 2:
        return math.nan, math.nan
    error = differences.std(ddof=1) / math.sqrt(len(differences))
    half = float(student.ppf(0.975, len(differences) - 1)) * error
    return float(differences.mean() - half), float(differences.mean() + half)


def verdict(differences: np.ndarray) -> str:
    """``"better"`` or ``"worse"`` if the interval excludes zero, ``"inconclusive"`` if it contains zero, `ONE_DRAW` if there
    is no interval."""
    low, high = interval(differences)
    if math.isnan(low):
        return ONE_DRAW
    return "inconclusive" if low <= 0 <= high else "better" if low > 0 else "worse"


class Compared(NamedTuple):
    """A method, its baseline, and the number of labelled exams."""

    count: int
    method: str
    other: str


def add_paired(page: Page, study: StudyFolder, name: str, scores: Scores, lead: bool = False) -> None:
    """Add paired differences to a page: a table of what each method gains over those that it is compared with
    (`StudyFolder.against`), and a picture of the gains over training from scratch. Single draws get no picture.

    A larger score is better. With ``lead``, the verdicts in words and the picture stand at the top of the page, as the
    study's main result.
    """
    title = f"Paired differences in {name}"
    compared = [Compared(count, method, other) for method, count in scores for other in study.against(method)]
    found = add_differences(page, study, title, scores, compared)
    gains = {one: draws for one, draws in found.items() if one.other == SCRATCH}
    if lead:
        about = (
            f"Gain in {name} over training from scratch, mean over the draws. A method is better or worse if the 95 % "
            "interval of its gain excludes zero."
        )
        _add_verdicts(page, study, about, gains)
    if gains and any(len(draws) > 1 for draws in scores.values()):
        caption = (
            f"{name[0].upper()}{name[1:]} of each draw, minus training from scratch with the same labelled exams (dots); "
            "their mean (diamonds) and its 95 % interval (bars)."
        )
        differences = {(study.called(one.method), one.count): values for one, values in gains.items()}
        page.figure(paired_draws(differences, f"{name} on test exams"), caption, lead)


def _add_verdicts(page: Page, study: StudyFolder, about: str, found: Mapping[Compared, np.ndarray]) -> None:
    """State at the top of the page, for each number of labelled exams, which methods differ from training from scratch."""
    groups: dict[int, dict[str, list[str]]] = {}
    for one, draws in found.items():
        named = f"{study.called(one.method)} ({draws.mean():+.3f})"
        groups.setdefault(one.count, {}).setdefault(verdict(draws), []).append(named)
    lines = []
    for count, verdicts in sorted(groups.items()):
        words = "; ".join(f"{said}: {', '.join(verdicts[said])}" for said in sorted(verdicts))
        lines.append(f"<li>{html.escape(f'{count_of(count, _EXAM)}: {words}', quote=False)}</li>")
    if lines:
        page.head.append(f"<p>{about}</p><ul>{''.join(lines)}</ul>")


def add_differences(
    page: Page, study: StudyFolder, title: str, scores: Scores, compared: Iterable[Compared]
) -> dict[Compared, np.ndarray]:
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
        other = "scratch" if one.other == SCRATCH else study.called(one.other)
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
                f"{one.count}, {study.called(one.method)} minus {other}",
                f"{draws.mean():+.3f}",
                f"{numbers['standard_deviation']:.3f}" if several else "-",
                f"{low:+.3f} to {high:+.3f}" if several else "-",
                f"{(draws > 0).sum()} of {len(draws)}",
                " ".join(f"{value:+.3f}" for value in draws),
                numbers["verdict"],
            ]
        )
    header = ["mean", "standard deviation", "95 % interval", "draws that gained", "each draw", "verdict"]
    page.table(title, ["labelled exams", *header], rows)
    if several := [said for said in map(verdict, found.values()) if said != ONE_DRAW]:
        page.note(
            f"{sum(said != 'inconclusive' for said in several)} of {len(several)} intervals exclude zero; by chance "
            "alone, about one in twenty does. An interval covers neither the test exams nor the seed of a pretraining."
        )
    return found


def scores_by_count(scores: Mapping[tuple[str, int], Mapping[int, float]], name: str) -> Figure:
    """A score against the number of labelled exams (as in Bai 2019, Fig. 4): a dot for each draw, and a line through the
    means of each method. The scores are by name of the method and number of labelled exams."""
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes, counts = figure.subplots(), sorted({count for _, count in scores})
    methods = dict.fromkeys(method for method, _ in scores)
    for method, colour in zip(methods, cycle(colormaps["tab20"].colors), strict=False):
        known = [count for count in counts if scores.get((method, count))]
        draws = [list(scores[method, count].values()) for count in known]
        axes.plot(known, list(map(np.mean, draws)), "-", color=colour, lw=1.4, label=method)
        for count, values in zip(known, draws, strict=True):
            axes.plot([count] * len(values), values, "o", color=colour, ms=3, alpha=0.5)
    axes.set(xlabel="labelled exams", ylabel=name, xscale="log")
    axes.set_xticks(counts, counts)
    axes.set_xticks([], minor=True)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return figure


def paired_draws(gains: Mapping[tuple[str, int], np.ndarray], name: str) -> Figure:
    """The gain in a score over training from scratch: a dot for each draw of labelled exams, a diamond for the mean, and a
    bar for its 95 % interval. Gains, ``(draws,)``, are by the method's name (a row) and the number of labels (a panel)."""
    counts, methods = sorted({count for _, count in gains}), list(dict.fromkeys(method for method, _ in gains))
    width = max(4.0, 2.4 * len(counts) + 1.6)
    figure = Figure(figsize=(width, 0.36 * len(methods) + 1.2), layout="constrained")
    panels = dict(zip(counts, figure.subplots(1, len(counts), squeeze=False, sharex=True, sharey=True)[0], strict=True))
    for count, axes in panels.items():
        axes.axvline(0, color="0.6", lw=0.8)
        axes.set_title(f"{count} exam{'s' if count > 1 else ''}")
        axes.set_yticks(range(len(methods)), methods)
        axes.tick_params(axis="y", length=0)
    for (method, count), draws in gains.items():
        axes, place = panels[count], methods.index(method)
        # the dots lie lower in the picture than the mean's marker, because the marker would otherwise hide them
        axes.plot(draws, [place + 0.25] * len(draws), "o", color="C0", ms=4, alpha=0.6)
        axes.plot([draws.mean()], [place], "D", color="C0", ms=5, mec="k", mew=0.8)
        if len(draws) > 1:
            axes.plot(interval(draws), [place, place], "-", color="k", lw=1.2, zorder=1)
    panels[counts[0]].set_ylim(len(methods) - 0.5, -0.5)  # the first method is on top
    figure.supxlabel(f"{name}, minus training from scratch", fontsize="medium")
    return figure
