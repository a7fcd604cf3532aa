"""Pictures of a classification: ROC curves and the confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import roc_curve

from planewise.reports.slices import picture_grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def roc_figure(
    probabilities: np.ndarray, labels: Sequence[int], classes: Sequence[str], scores: Mapping[str, Any]
) -> Figure:
    """A ROC curve for each class against the rest, and the confusion matrix.

    Args:
        probabilities: ``(N, classes)``.
        labels: class index of each exam.
        classes: names of the classes.
        scores: output of `planewise.metrics.classification_scores`.
    """
    figure, ((curves, matrix),) = picture_grid(1, 2, (9.2, 4.3))
    labels = np.asarray(labels)
    for index, name in enumerate(classes):
        if scores["auc"][name] is None:
            continue
        false_rate, true_rate, _ = roc_curve(labels == index, probabilities[:, index])
        curves.plot(false_rate, true_rate, lw=1.5, label=f"{name} {scores['auc'][name]:.3f}")
    curves.plot([0, 1], [0, 1], ":", color="0.6", lw=1)
    macro = f", mean AUC {scores['macro_auc']:.3f}" if scores["macro_auc"] is not None else ""
    curves.set(xlabel="false positive rate", ylabel="true positive rate", title=f"each against the rest{macro}")
    curves.legend(frameon=False, loc="lower right", fontsize=8)
    draw_confusion(matrix, np.array(scores["confusion"]), classes)
    matrix.set_title(f"{scores['exams']} exams, accuracy {scores['accuracy']:.2f}")
    return figure


def draw_confusion(axes: Axes, counts: np.ndarray, names: Sequence[str], shares: bool = False) -> None:
    """Draw a confusion matrix.

    Args:
        axes: the axes to draw on.
        counts: ``(true, predicted)``.
        names: names of the classes.
        shares: whether the colours show shares of each true class, so that rare classes are visible, too.
    """
    levels = counts / counts.sum(axis=1, keepdims=True).clip(min=1) if shares else counts
    most = 1 if shares else counts.max()
    axes.imshow(levels, cmap="Blues", vmin=0 if shares else None, vmax=most)
    for (row, column), count in np.ndenumerate(counts):
        axes.text(column, row, count, ha="center", va="center", color="w" if levels[row, column] > most / 2 else "k")
    axes.set(xticks=range(len(names)), xticklabels=names, yticks=range(len(names)), yticklabels=names)
    axes.set(xlabel="predicted", ylabel="true")
