"""Pictures of a classification: ROC curves and the confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import roc_curve

if TYPE_CHECKING:
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
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.2, 4.3), layout="constrained")
    curves, matrix = figure.subplots(1, 2)
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
    counts = np.array(scores["confusion"])
    matrix.imshow(counts, cmap="Blues")
    for (row, column), count in np.ndenumerate(counts):
        matrix.text(column, row, count, ha="center", va="center", color="w" if count > counts.max() / 2 else "k")
    matrix.set(xticks=range(len(classes)), xticklabels=classes, yticks=range(len(classes)), yticklabels=classes)
    matrix.set(xlabel="predicted", ylabel="true", title=f"{scores['exams']} exams, accuracy {scores['accuracy']:.2f}")
    return figure
