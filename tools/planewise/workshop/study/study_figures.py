"""Pictures of a study: scores by number of labelled exams, and paired draws."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from planewise.workshop.study.methods import method_colour, method_name
from planewise.workshop.study.numbers import interval


def scores_by_count(scores: Mapping[tuple[str, int], Mapping[int, float]], name: str) -> Figure:
    """A score against the number of labelled exams (as in Bai 2019, Fig. 4): a dot for each draw, and a line through the
    means of each method. The scores are by method and number of labelled exams."""
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
    """The gain in a score over training from scratch: a dot for each draw of labelled exams, a diamond for the mean, and a
    bar for its 95 % interval. Gains, ``(draws,)``, are by method (a row) and number of labelled exams (a panel)."""
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
