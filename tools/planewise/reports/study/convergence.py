"""Epochs until a fine-tuning reaches the best score of training from scratch (Taleb 2020, Figs. 5 and 6)."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

from planewise.metrics import epoch_that_reached
from planewise.reports.methods import method_name
from planewise.reports.study.finetunings import FineTunings
from planewise.reports.study.numbers import over_draws
from planewise.reports.study.page import Page, Row


def add_convergence(
    page: Page,
    runs: FineTunings,
    column: str,
    title: str,
    baseline_of: Callable[[str, Collection[str]], str] = lambda method, trained: "none",
) -> bool:
    """Add a table of the first epoch at which each method's validation score reached its baseline's best, draw by draw.

    The table uses the largest number of labelled exams. With few labelled exams, training from scratch may learn next
    to nothing, and any method reaches its score at once.

    Args:
        page: the page to add to.
        runs: fine-tunings.
        column: column of the runs' histories; larger is better.
        title: title of the table.
        baseline_of: function that returns the baseline of a method, given the method and all trained methods; by default
            it is training from scratch.

    Returns:
        Whether there was anything to compare.
    """
    most = max(runs.counts)
    curves = {
        method: dict(zip(draws, runs.histories[method, most], strict=True))
        for (method, count), draws in runs.scores.items()
        if count == most
    }
    rows = []
    for method in runs.study.methods:
        baseline = curves.get(baseline_of(method, curves), {})
        reached, compared = [], 0
        for draw in sorted(curves.get(method, {}).keys() & baseline.keys()):
            bars, own = _scores(baseline[draw], column), _scores(curves[method][draw], column)
            if bars and own:
                compared += 1
                reached.append(epoch_that_reached(list(own), list(own.values()), max(bars.values())))
        if compared:
            there = f"{sum(epoch is not None for epoch in reached)} of {compared}"
            rows.append(Row.of(method_name(method), over_draws(reached, 1), there))
    if rows:
        page.table(title, ["method", "epoch", "draws that reached it"], rows)
    return bool(rows)


def _scores(history: list[dict[str, float]], column: str) -> dict[int, float]:
    """Map each epoch that has a score to the score."""
    return {row["epoch"]: row[column] for row in history if math.isfinite(row.get(column, math.nan))}
