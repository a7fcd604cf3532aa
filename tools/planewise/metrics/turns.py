"""Scores of rotation prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from planewise.metrics.confusion import confusion_matrix


def turn_scores(predicted: NDArray[np.integer], reference: NDArray[np.integer], classes: int) -> dict[str, Any]:
    """Rotation accuracy: how often a rotation is predicted correctly.

    Args:
        predicted, reference: classes of turns, ``(N,)`` (`planewise.geometry.turn_of_class`).
        classes: number of classes.

    Returns:
        ``accuracy``, its ``chance``, ``images`` and ``turns``; ``accuracy_by_turn``, a share for each class, NaN for
        one that was not drawn; and ``confusion``: for each class of the reference, a row of how often each class was
        predicted.
    """
    confusion, shares = confusion_matrix(predicted, reference, classes)
    return {
        "accuracy": float((predicted == reference).mean()),
        "chance": 1 / classes,
        "images": len(reference),
        "turns": classes,
        "accuracy_by_turn": shares.tolist(),
        "confusion": confusion.tolist(),
    }
