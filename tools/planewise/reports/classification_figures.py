"""Pictures of classifications: ROC curves, confusion matrices, and the places on which a prediction is based."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.metrics import roc_curve

from planewise.reports.slices import name_row, picture_grid, show_slice

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Minimum saliency to draw, as a share of the largest value.
_VISIBLE = 0.15
#: Slices with a smaller share of the stack's saliency had too little influence to be shown.
_SAY = 0.01


def roc_figure(probabilities: np.ndarray, truth: np.ndarray, names: Sequence[str], scores: Mapping[str, Any]) -> Figure:
    """A ROC curve for each class against the rest or for each finding, and the confusion matrix if the scores have one.

    Args:
        probabilities: ``(N, K)``.
        truth: whether each exam has the class or finding, ``(N, K)``, 0, 1 or NaN if unknown.
        names: names of the K classes or findings.
        scores: output of `planewise.metrics.classification_scores` or `planewise.metrics.finding_scores`.
    """
    panels = 1 + ("confusion" in scores)
    figure, ((axes, *others),) = picture_grid(1, panels, (4.6 * panels, 4.3))
    for column, name in enumerate(names):
        if np.isfinite(auc := scores["auc"][name]):
            known = np.isfinite(truth[:, column])
            false_rate, true_rate, _ = roc_curve(truth[known, column], probabilities[known, column])
            axes.plot(false_rate, true_rate, color=f"C{column}", lw=1.5, label=f"{name} {auc:.3f}")
    axes.plot([0, 1], [0, 1], ":", color="0.6", lw=1, label="chance")
    mean = "no AUC: one class only" if np.isnan(scores["macro_auc"]) else f"mean AUC {scores['macro_auc']:.3f}"
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title=mean)
    axes.legend(frameon=False, loc="lower right", fontsize=8)
    for matrix in others:
        _draw_confusion(matrix, np.array(scores["confusion"]), names)
        matrix.set_title(f"{scores['exams']} exams, accuracy {scores['accuracy']:.2f}")
    return figure


def confusion_figure(scores: Mapping[str, Any], names: Sequence[str], title: str = "") -> Figure:
    """How often each grade was predicted, by true grade, from the scores of `planewise.evaluation.GradingReport`."""
    figure, ((axes,),) = picture_grid(1, 1, (5.4, 5.0))
    _draw_confusion(axes, np.array(scores["confusion"]), names)
    axes.tick_params(axis="x", rotation=30)
    summary = f"{scores['photographs']} photographs, kappa {scores['kappa']:.3f}, accuracy {scores['accuracy']:.2f}"
    axes.set_title(f"{title}\n{summary}".strip())
    return figure


def _draw_confusion(axes: Axes, counts: np.ndarray, names: Sequence[str]) -> None:
    """Draw the counts ``(true, predicted)`` of a confusion matrix. The colours show shares of each true class, so that rare
    classes are visible, too."""
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        axes.text(column, row, count, ha="center", va="center", color="w" if shares[row, column] > 0.5 else "k")
    axes.set(xticks=range(len(names)), xticklabels=names, yticks=range(len(names)), yticklabels=names)
    axes.set(xlabel="predicted", ylabel="true")


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
    """Each row, of a finding and an exam, shows at most ``slices`` decisive slices of a stack in their order. Next to each
    slice is a copy with the decisive regions marked."""
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
            _mark(marked, row.saliency[index] / max(float(row.saliency.max()), 1e-12), "inferno", 0.6)
            plain.set_title(f"slice {row.number(index)}: {100 * share:.0f} %", fontsize=8)
        name_row(line[0], row.caption, 0.1, fontsize=8)
    figure.suptitle(title, fontsize=9)
    return figure


def photograph_figure(image: np.ndarray, saliency: np.ndarray, title: str) -> Figure:
    """A photograph, ``(3, i, j)``, next to a copy with the decisive regions marked, by its saliency ``(i, j)``, both 0 to 1.
    A title says so if no region raises the grade."""
    figure, ((plain, marked),) = picture_grid(1, 2, (7.2, 3.4))
    for axes in (plain, marked):
        axes.set_axis_off()
        # rows of a picture run along j
        axes.imshow(image.transpose(2, 1, 0).clip(0, 1))
    _mark(marked, saliency, "viridis", 0.55)
    if not saliency.any():
        marked.set_title("no region raises the grade", fontsize=8)
    figure.suptitle(title, fontsize=9)
    return figure


def _mark(axes: Axes, saliency: np.ndarray, colours: str, opacity: float) -> None:
    """Draw a saliency map ``(i, j)``, 0 to 1, over a picture where it is visible."""
    axes.imshow(saliency.T, cmap=colours, vmin=0, vmax=1, alpha=np.where(saliency.T > _VISIBLE, opacity, 0.0))
