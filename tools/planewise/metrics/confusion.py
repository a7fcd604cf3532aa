"""Confusion between classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics


def confusion_matrix(
    predicted: NDArray[np.integer], reference: NDArray[np.integer], classes: int
) -> tuple[NDArray[np.integer], NDArray[np.floating]]:
    """Counts of predictions for each class, and the share of correct ones.

    Args:
        predicted, reference: classes, ``(N,)``.
        classes: number of classes.

    Returns:
        For each class of the reference, a row of how often each class was predicted, ``(classes, classes)``; and the
        share of a row that is on its diagonal, ``(classes,)``, NaN if the class does not occur.
    """
    confusion = metrics.confusion_matrix(reference, predicted, labels=range(classes))
    there = confusion.sum(axis=1)
    return confusion, np.where(there > 0, confusion.diagonal() / np.maximum(there, 1), np.nan)


def choice_scores(
    predicted: NDArray[np.integer], reference: NDArray[np.integer], classes: int, choice: str, items: str
) -> dict[str, Any]:
    """Accuracy of a pretext that chooses one of several answers: the rotation of an image, the location of a patch.

    Args:
        predicted, reference: classes, ``(N,)``.
        classes: number of classes.
        choice: name of the classes, such as ``rotation``.
        items: name of the classified objects, such as ``images``.

    Returns:
        ``accuracy``, its ``chance``, the number of ``items`` and, in the plural, of choices; ``accuracy_by_`` the choice, a
        share for each class, NaN for one that was not drawn; and ``confusion``: for each class of the reference, a row
        of how often each class was predicted.
    """
    confusion, shares = confusion_matrix(predicted, reference, classes)
    return {
        "accuracy": float((predicted == reference).mean()),
        "chance": 1 / classes,
        items: len(reference),
        f"{choice}s": classes,
        f"accuracy_by_{choice}": shares.tolist(),
        "confusion": confusion.tolist(),
    }
