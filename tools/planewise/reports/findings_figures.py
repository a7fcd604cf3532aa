"""Pictures of findings: ROC curves, and the slices and places on which a prediction is based."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.metrics import roc_curve

from planewise.reports.slices import name_row, picture_grid, show_slice

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Minimum saliency to draw, as a share of the stack's largest value.
_VISIBLE = 0.15
#: Slices with a smaller share of the stack's saliency had too little influence to be shown.
_SAY = 0.01


def findings_roc_figure(
    probabilities: np.ndarray, labels: np.ndarray, tasks: Sequence[str], scores: Mapping[str, Any], title: str = ""
) -> Figure:
    """A ROC curve for each finding, and the probabilities of the exams with and without it.

    Args:
        probabilities: ``(N, tasks)``.
        labels: ``(N, tasks)``, 0, 1 or NaN.
        tasks: names of the findings.
        scores: output of `planewise.metrics.finding_scores`.
        title: title of the picture.
    """
    figure, ((curves, strips),) = picture_grid(1, 2, (9.2, 4.3))
    for column, task in enumerate(tasks):
        colour = f"C{column}"
        known = np.isfinite(labels[:, column])
        truth, probability = labels[known, column] > 0.5, probabilities[known, column]
        if scores["auc"][task] is not None:
            false_rate, true_rate, _ = roc_curve(truth, probability)
            curves.plot(false_rate, true_rate, lw=1.5, color=colour, label=f"{task} {scores['auc'][task]:.3f}")
        # evenly spread, so that equal probabilities do not hide each other
        for present, marker in ((False, "o"), (True, "^")):
            values = np.sort(probability[truth == present])
            place = 2 * column + present + np.linspace(-0.3, 0.3, len(values))
            strips.plot(place, values, marker, ms=4, alpha=0.7, color=colour, mfc=colour if present else "none")
    curves.plot([0, 1], [0, 1], ":", color="0.6", lw=1)
    mean = f"mean AUC {scores['macro_auc']:.3f}" if scores["macro_auc"] is not None else "no AUC: one class only"
    curves.set(xlabel="false positive rate", ylabel="true positive rate", title=f"{title} {mean}".strip())
    if curves.get_legend_handles_labels()[0]:
        curves.legend(frameon=False, loc="lower right", fontsize=8)
    ticks = [f"{word}\n{task}" for task in tasks for word in ("no", "")]
    strips.set_xticks(range(2 * len(tasks)), ticks, fontsize=8)
    strips.set(ylabel="probability", ylim=(-0.03, 1.03), title=f"{scores['exams']} exams")
    strips.axhline(0.5, color="0.7", lw=0.8, ls=":")
    return figure


class Decision(NamedTuple):
    """A stack and its saliency for one finding: the slices and places on which the prediction is based."""

    caption: str
    stack: np.ndarray
    """``(i, j, S)``"""
    saliency: np.ndarray
    """``(S, i, j)``, not negative"""
    numbers: Sequence[int] | None = None
    """numbers of the slices in their series, counted from 1; 1 to S by default"""

    def decisive(self, most: int) -> list[tuple[int, float]]:
        """Index and saliency share of the influential slices, the most decisive first."""
        shares = self.saliency.sum(axis=(1, 2)) / max(float(self.saliency.sum()), 1e-12)
        return [(int(index), float(shares[index])) for index in np.argsort(-shares)[:most] if shares[index] >= _SAY]

    def number(self, index: int) -> int:
        """The number of a slice as people count it, from 1."""
        return self.numbers[index] if self.numbers is not None else index + 1


def saliency_figure(rows: Sequence[Decision], title: str = "", slices: int = 4) -> Figure:
    """Each row shows the decisive slices of a stack in their order. Next to each slice is a copy with the decisive regions
    marked.

    Args:
        rows: one per finding and exam.
        title: title of the picture.
        slices: maximum number of slices in each row.
    """
    shown = [sorted(row.decisive(slices)) for row in rows]
    columns = 2 * max([2, *map(len, shown)])
    figure, grid = picture_grid(len(rows), columns, (1.9 * columns + 1.2, 2.05 * len(rows) + 0.6))
    for row, decided, line in zip(rows, shown, grid, strict=True):
        for axes in line:
            axes.set_axis_off()
        for place, (index, share) in enumerate(decided):
            plain, marked = line[2 * place], line[2 * place + 1]
            show_slice(plain, row.stack[..., index])
            show_slice(marked, row.stack[..., index])
            strength = row.saliency[index].T / max(float(row.saliency.max()), 1e-12)
            marked.imshow(strength, cmap="inferno", vmin=0, vmax=1, alpha=np.where(strength > _VISIBLE, 0.6, 0.0))
            plain.set_title(f"slice {row.number(index)}: {100 * share:.0f} %", fontsize=8)
        name_row(line[0], row.caption, 0.1, fontsize=8)
    figure.suptitle(title, fontsize=9)
    return figure
