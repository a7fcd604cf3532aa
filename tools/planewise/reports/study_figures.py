"""Pictures of a study: learning curves, and paired draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

METHOD_COLOURS = {"none": "#7f7f7f", "location": "#1f77b4", "orientation": "#ff7f0e", "multitask": "#d62728"}
METHOD_NAMES = {"none": "from scratch", "location": "location", "orientation": "orientation", "multitask": "multitask"}

History = Sequence[Mapping[str, float]]


def pretext_curves(histories: Mapping[str, History]) -> Figure:
    """Training and validation loss, and what a person understands of the validation, over the epochs."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    loss, angle, location = figure.subplots(1, 3)
    for method, rows in histories.items():
        colour = METHOD_COLOURS.get(method, "k")
        _curve(loss, rows, "train_loss", colour, "-", METHOD_NAMES.get(method, method))
        _curve(loss, rows, "val_loss", colour, "--")
        for view, style in (("2ch", "-"), ("4ch", ":")):
            _curve(angle, rows, f"{view}_angle", colour, style, f"{METHOD_NAMES.get(method, method)}, {view}")
        _curve(location, rows, "location_mae", colour, "-", METHOD_NAMES.get(method, method))
    loss.set(title="loss (dashed: validation)", yscale="log")
    angle.set(title="angle of the lines, validation (deg)", ylim=(0, None))
    location.set(title="error of the location, validation", ylim=(0, None))
    for axes in (loss, angle, location):
        axes.set_xlabel("epoch")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8)
    return figure


def finetune_curves(histories: Mapping[tuple[str, int], Sequence[History]]) -> Figure:
    """Validation Dice over the epochs, a line a draw, a panel a number of labelled exams."""
    counts = sorted({count for _, count in histories})
    figure = Figure(figsize=(4.2 * len(counts), 3.4), layout="constrained")
    for axes, count in zip(figure.subplots(1, len(counts), squeeze=False)[0], counts, strict=True):
        for (method, of_count), draws in histories.items():
            if of_count != count:
                continue
            for number, rows in enumerate(draws):
                label = METHOD_NAMES.get(method, method) if number == 0 else None
                _curve(axes, rows, "val_mean_dice", METHOD_COLOURS.get(method, "k"), "-", label)
        axes.set(title=f"{count} labelled exam{'s' if count > 1 else ''}", xlabel="epoch", ylim=(0, 1))
        axes.legend(frameon=False, fontsize=8, loc="upper left")
    figure.axes[0].set_ylabel("validation Dice, slice by slice")
    return figure


def _curve(axes, rows: History, key: str, colour: str, style: str, label: str | None = None) -> None:
    points = [(row["epoch"], row[key]) for row in rows if key in row and np.isfinite(row[key])]
    if points:
        axes.plot(*zip(*points, strict=True), style, color=colour, lw=1.3, label=label)


def paired_draws(scores: Mapping[tuple[str, int], Mapping[int, float]], baseline: str = "none") -> Figure:
    """Each draw of labelled exams as a line from the baseline's score to another method's, a panel a number of exams."""
    counts = sorted({count for _, count in scores})
    methods = [method for method in dict.fromkeys(method for method, _ in scores) if method != baseline]
    columns = max(1, len(counts) * len(methods))
    figure = Figure(figsize=(max(4.0, 2.4 * columns), 3.6), layout="constrained")
    panels = figure.subplots(1, columns, squeeze=False, sharey=True)[0]
    for axes, (count, method) in zip(panels, [(c, m) for c in counts for m in methods], strict=False):
        pairs = [
            (scores[baseline, count][draw], scores[method, count][draw])
            for draw in sorted(scores.get((baseline, count), {}))
            if draw in scores.get((method, count), {})
        ]
        for before, after in pairs:
            axes.plot([0, 1], [before, after], "o-", color=METHOD_COLOURS.get(method, "k"), lw=1.2, ms=4, alpha=0.8)
        axes.set(xlim=(-0.3, 1.3), ylim=(0, 1), title=f"{count} exam{'s' if count > 1 else ''}")
        axes.set_xticks([0, 1], ["scratch", METHOD_NAMES.get(method, method)])
    panels[0].set_ylabel("mean Dice, test")
    return figure
