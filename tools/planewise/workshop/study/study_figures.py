"""Pictures of a study: learning curves, scores by number of labelled exams, and paired draws."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from planewise.workshop.study.methods import method_colour, method_name
from planewise.workshop.study.numbers import interval

History = Sequence[Mapping[str, float]]


def validation_curves(panels: Mapping[str, Mapping[str, Sequence[History]]], scores: Mapping[str, str]) -> Figure:
    """Validation scores over the epochs (such as Nakashima 2022, Fig. 1): each draw in a pale line, and the draws' median in
    a strong one, in the colour of the method, up to the last epoch that half of the draws reached.

    Args:
        panels: maps the title of each column of panels to a mapping from methods to the histories of their draws.
        scores: maps columns of the histories to their captions, one row of panels each; all except losses are at most 1.
    """
    figure = Figure(figsize=(4.2 * len(panels), 3.4 * len(scores)), layout="constrained")
    grid = figure.subplots(len(scores), len(panels), squeeze=False)
    for line, (column, name) in zip(grid, scores.items(), strict=True):
        for axes, (title, runs) in zip(line, panels.items(), strict=True):
            for method, draws in runs.items():
                known = [
                    {row["epoch"]: row[column] for row in rows if math.isfinite(row.get(column, math.nan))}
                    for rows in draws
                ]
                for curve in known if len(draws) > 1 else ():
                    _curve(axes, curve, color=method_colour(method), alpha=0.3, lw=0.6)
                values = {epoch: [curve[epoch] for curve in known if epoch in curve] for epoch in set().union(*known)}
                reached = sorted(epoch for epoch, each in values.items() if 2 * len(each) >= len(draws))
                median = {epoch: float(np.median(values[epoch])) for epoch in reached}
                _curve(axes, median, color=method_colour(method), lw=1.8)
            axes.set(title=title, xlabel="epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            if not column.endswith("loss"):
                # a kappa may be negative
                lowest = min(
                    [0.0, *(value - 0.05 for curve in axes.get_lines() for value in curve.get_ydata() if value < 0)]
                )
                axes.set_ylim(lowest, 1)
        line[0].set_ylabel(name)
    methods = dict.fromkeys(method for runs in panels.values() for method in runs)
    handles = [Line2D([], [], color=method_colour(method), lw=1.3, label=method_name(method)) for method in methods]
    # under the panels, where it hides no curve, in as many columns as fit the figure
    columns = max(1, min(len(handles), int(figure.get_figwidth() / 1.7)))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=8)
    return figure


def _curve(axes, curve: Mapping[float, float], **style: Any) -> None:
    """Draw a score by epoch; a single epoch has no line."""
    if curve:
        axes.plot(*zip(*curve.items(), strict=True), ls="-", marker="o" if len(curve) == 1 else None, **style)


def scores_by_count(scores: Mapping[tuple[str, int], Mapping[int, float]], name: str) -> Figure:
    """A score against the number of labelled exams (as in Bai 2019, Fig. 4): a dot for each draw, and a line through the
    means of each method.

    Args:
        scores: the score of each draw, by method and number of labelled exams.
        name: name of the score.
    """
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes, counts = figure.subplots(), sorted({count for _, count in scores})
    for method in dict.fromkeys(method for method, _ in scores):
        colour, known = method_colour(method), [count for count in counts if scores.get((method, count))]
        draws = [list(scores[method, count].values()) for count in known]
        axes.plot(known, list(map(np.mean, draws)), "-", color=colour, lw=1.4, label=method_name(method))
        for count, values in zip(known, draws, strict=True):
            axes.plot([count] * len(values), values, "o", color=colour, ms=3, alpha=0.5)
    axes.set(xlabel="labelled exams", ylabel=name, xscale="log")
    axes.set_xticks(counts, counts)
    axes.set_xticks([], minor=True)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return figure


def paired_draws(gains: Mapping[tuple[str, int], np.ndarray], name: str) -> Figure:
    """The gain over training from scratch: a dot for each draw of labelled exams, a diamond for the mean, and a bar for its
    95 % interval.

    Args:
        gains: the difference of each draw, ``(draws,)``, by method (a row) and number of labelled exams (a panel).
        name: name of the score.
    """
    counts, methods = sorted({count for _, count in gains}), list(dict.fromkeys(method for method, _ in gains))
    width = max(4.0, 2.4 * len(counts) + 1.6)
    figure = Figure(figsize=(width, 0.36 * len(methods) + 1.2), layout="constrained")
    panels = dict(zip(counts, figure.subplots(1, len(counts), squeeze=False, sharex=True, sharey=True)[0], strict=True))
    for count, axes in panels.items():
        axes.axvline(0, color="0.6", lw=0.8)
        axes.set_title(f"{count} exam{'s' if count > 1 else ''}")
        axes.set_yticks(range(len(methods)), [method_name(method) for method in methods])
        axes.tick_params(axis="y", length=0)
    for (method, count), draws in gains.items():
        axes, place, colour = panels[count], methods.index(method), method_colour(method)
        # the dots lie lower in the picture than the mean's marker, because the marker would otherwise hide them
        axes.plot(draws, [place + 0.25] * len(draws), "o", color=colour, ms=4, alpha=0.6)
        axes.plot([draws.mean()], [place], "D", color=colour, ms=5, mec="k", mew=0.8)
        if len(draws) > 1:
            axes.plot(interval(draws), [place, place], "-", color="k", lw=1.2, zorder=1)
    panels[counts[0]].set_ylim(len(methods) - 0.5, -0.5)  # the first method is on top
    figure.supxlabel(f"{name}, minus training from scratch", fontsize="medium")
    return figure
