"""Confusion between classes."""

from __future__ import annotations

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
