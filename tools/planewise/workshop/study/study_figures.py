"""Pictures of a study: learning curves, and paired draws."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from planewise.workshop.study.methods import method_colour, method_name
from planewise.workshop.study.numbers import interval, paired_differences

History = Sequence[Mapping[str, float]]


def validation_curves(panels: Mapping[str, Mapping[str, Sequence[History]]], scores: Mapping[str, str]) -> Figure:
    """Validation scores over the epochs (such as Nakashima 2022, Fig. 1): each draw in a pale line, and the draws' median in
    a strong one, in the colour of the method.

    Args:
        panels: maps the title of each column of panels to a mapping from methods to the histories of their draws.
        scores: maps columns of the histories to their captions, one row of panels each; all except losses are at most 1.
    """
    figure = Figure(figsize=(4.2 * len(panels), 3.4 * len(scores)), layout="constrained")
    grid = figure.subplots(len(scores), len(panels), squeeze=False)
    for line, (column, name) in zip(grid, scores.items(), strict=True):
        for axes, (title, runs) in zip(line, panels.items(), strict=True):
            for method, draws in runs.items():
                _draws(axes, draws, column, method_colour(method))
            axes.set(title=title, xlabel="epoch")
            if not column.endswith("loss"):
                axes.set_ylim(_lowest(score for curve in axes.get_lines() for score in curve.get_ydata()), 1)
        line[0].set_ylabel(name)
    _legend_below(figure, (method for runs in panels.values() for method in runs))
    return figure


def _lowest(scores: Iterable[float]) -> float:
    """Start of a score axis: 0, or a value below the lowest score if that is negative, as a kappa may be."""
    lowest = min((score for score in scores if math.isfinite(score)), default=0.0)
    return 0.0 if lowest >= 0 else lowest - 0.05


def _legend_below(figure: Figure, methods: Iterable[str]) -> None:
    """A legend of methods under the panels, where it hides no curve, in as many columns as fit the figure."""
    handles = [
        Line2D([], [], color=method_colour(method), lw=1.3, label=method_name(method))
        for method in dict.fromkeys(methods)
    ]
    columns = max(1, min(len(handles), int(figure.get_figwidth() / 1.7)))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=8)


def scores_by_count(
    scores: Mapping[str, Mapping[str, Mapping[tuple[str, int], Mapping[int, float]]]],
) -> Figure:
    """Scores of each structure against the number of labelled exams (Bai 2019, Fig. 4). Each method has a line through the
    means over its draws, and a dot per draw.

    Args:
        scores: nested mappings: name of the score (a row of panels), structure (a panel), method and number of labelled
            exams, draw; the values are the scores.
    """
    runs = [run for structures in scores.values() for draws in structures.values() for run in draws]
    methods, counts = list(dict.fromkeys(method for method, _ in runs)), sorted({count for _, count in runs})
    columns = max(len(structures) for structures in scores.values())
    figure = Figure(figsize=(max(4.0, 2.6 * columns), 2.9 * len(scores) + 0.5), layout="constrained")
    panels = figure.subplots(len(scores), columns, squeeze=False, sharey="row")
    # methods are side by side, because otherwise the dots of one would hide those of another
    apart = min(0.08, 0.6 / len(methods))
    shifts = {method: apart * (number - (len(methods) - 1) / 2) for number, method in enumerate(methods)}
    for line, (name, structures) in zip(panels, scores.items(), strict=True):
        for axes, (structure, draws) in zip(line, structures.items(), strict=True):
            for method in methods:
                colour = method_colour(method)
                known = [
                    (place + shifts[method], list(draws[method, count].values()))
                    for place, count in enumerate(counts)
                    if (method, count) in draws
                ]
                axes.plot(
                    [place for place, _ in known], [np.mean(values) for _, values in known], "-", color=colour, lw=1.3
                )
                for place, values in known:
                    axes.plot([place] * len(values), values, "o", color=colour, ms=3, alpha=0.5)
            axes.set(title=structure, xlabel="labelled exams")
            axes.set_xticks(range(len(counts)), counts)
        line[0].set_ylabel(name)
        line[0].set_ylim(0, None)  # this comes last, because it switches off the automatic scaling of the whole row
    _legend_below(figure, methods)
    return figure


def _draws(axes, draws: Sequence[History], column: str, colour: tuple[float, float, float]) -> None:
    """Each draw in a pale line, and their median in a strong one, up to the last epoch that half of the draws reached."""
    for rows in draws if len(draws) > 1 else ():
        _curve(axes, rows, column, color=colour, alpha=0.3, lw=0.6)
    scores: dict[float, list[float]] = {}
    for rows in draws:
        for row in rows:
            if math.isfinite(row.get(column, math.nan)):
                scores.setdefault(row["epoch"], []).append(row[column])
    reached = sorted(epoch for epoch, values in scores.items() if 2 * len(values) >= len(draws))
    medians = [{"epoch": epoch, column: float(np.median(scores[epoch]))} for epoch in reached]
    _curve(axes, medians, column, color=colour, lw=1.8)


def _curve(axes, rows: History, key: str, **style: Any) -> None:
    points = [(row["epoch"], row[key]) for row in rows if key in row and np.isfinite(row[key])]
    if points:
        # a single point has no line
        marker = "o" if len(points) == 1 else None
        axes.plot(*zip(*points, strict=True), **{"ls": "-", "lw": 1.3, "marker": marker} | style)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def paired_draws(scores: Mapping[tuple[str, int], Mapping[int, float]], name: str) -> Figure:
    """The gain over training from scratch: a dot for each draw of labelled exams, a diamond for the mean, and a bar for its
    95 % interval.

    Args:
        scores: the score of each draw, by method (a row) and number of labelled exams (a panel).
        name: name of the score.
    """
    # in an unfinished study, a number of exams may have scores from scratch only
    counts = sorted({count for method, count in scores if method != "none"})
    methods = [method for method in dict.fromkeys(method for method, _ in scores) if method != "none"]
    width = max(4.0, 2.4 * len(counts) + 1.6)
    figure = Figure(figsize=(width, 0.36 * max(1, len(methods)) + 1.2), layout="constrained")
    panels = figure.subplots(1, max(1, len(counts)), squeeze=False, sharex=True, sharey=True)[0]
    for axes, count in zip(panels, counts, strict=False):
        axes.axvline(0, color="0.6", lw=0.8)
        for place, method in enumerate(methods):
            differences = paired_differences(scores.get((method, count), {}), scores.get(("none", count), {}))
            if not len(differences):
                continue
            colour, mean = method_colour(method), differences.mean()
            # the dots lie lower in the picture than the mean's marker, because the marker would otherwise hide them
            axes.plot(differences, [place + 0.25] * len(differences), "o", color=colour, ms=4, alpha=0.6)
            axes.plot([mean], [place], "D", color=colour, ms=5, mec="k", mew=0.8)
            if len(differences) > 1:
                axes.plot(interval(differences), [place, place], "-", color="k", lw=1.2, zorder=1)
        axes.set_title(f"{count} exam{'s' if count > 1 else ''}")
        axes.set_yticks(range(len(methods)), [method_name(method) for method in methods])
        axes.tick_params(axis="y", length=0)
    panels[0].set_ylim(max(1, len(methods)) - 0.5, -0.5)  # the first method is on top
    figure.supxlabel(f"{name}, minus training from scratch", fontsize="medium")
    return figure
