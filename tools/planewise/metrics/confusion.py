"""Compute confusion matrices, accuracies, and scores of jigsaw puzzles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics


def confusion_matrix(
    predicted: NDArray[np.integer], reference: NDArray[np.integer], classes: int
) -> tuple[NDArray[np.integer], NDArray[np.floating]]:
    """Count the predictions of each class, and compute the share of correct predictions.

    Args:
        predicted, reference: classes, ``(N,)``.
        classes: number of classes.

    Returns:
        The confusion matrix ``(classes, classes)``, with a row for each true class and a column for each predicted class;
        and the share of correct predictions for each true class, ``(classes,)``, NaN if the class does not occur.
    """
    confusion = metrics.confusion_matrix(reference, predicted, labels=range(classes))
    there = confusion.sum(axis=1)
    return confusion, np.where(there > 0, confusion.diagonal() / np.maximum(there, 1), np.nan)


def choice_scores(
    predicted: NDArray[np.integer], reference: NDArray[np.integer], classes: int, choice: str, items: str
) -> dict[str, Any]:
    """Scores of a pretext that chooses one of several classes, such as the rotation of an image or the location of a patch.

    Args:
        predicted, reference: classes, ``(N,)``.
        classes: number of classes.
        choice: name of what is chosen, such as ``rotation``.
        items: plural name of the samples, such as ``images``.

    Returns:
        ``accuracy``, and ``chance``, the accuracy of guessing; the number of samples under the name ``items``, and the
        number of classes under the plural of ``choice``; ``accuracy_by_<choice>``, the accuracy for each class, NaN if the
        class does not occur; and ``confusion``, with a row for each true class and a column for each predicted class.
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


def tiles_in_place(predicted: NDArray[np.integer], reference: NDArray[np.integer]) -> NDArray[np.floating]:
    """Tile accuracy: the share of tiles in their correct places if the puzzle is solved with the predicted permutation.

    Args:
        predicted, reference: permutations p, ``(..., P)``; position ``s`` of the puzzle shows tile ``p(s)``.
    """
    # the tile at position s goes to cell p(s) of the predicted permutation
    return (predicted == reference).mean(axis=-1)


def jigsaw_scores(
    predicted: NDArray[np.integer], reference: NDArray[np.integer], permutations: NDArray[np.integer]
) -> dict[str, Any]:
    """Permutation accuracy and tile accuracy.

    Args:
        predicted, reference: numbers of permutations, ``(N,)``.
        permutations: the set of permutations, ``(count, P)``.

    Returns:
        ``accuracy``, the share of puzzles with the correct permutation, and ``chance``, the accuracy of guessing;
        ``tiles_in_place``, the share of tiles in their correct places, and ``tiles_in_place_chance``, its value for random
        permutations; and the numbers of ``puzzles`` and ``permutations``.
    """
    # the probability that two random permutations both have tile v at position s is the square of the share of
    # permutations with this tile at this position
    pieces = permutations.shape[1]
    shares = (permutations[:, :, None] == np.arange(pieces)).mean(axis=0)
    return {
        "accuracy": float((predicted == reference).mean()),
        "chance": 1 / len(permutations),
        "tiles_in_place": float(tiles_in_place(permutations[predicted], permutations[reference]).mean()),
        "tiles_in_place_chance": float(np.square(shares).sum(axis=1).mean()),
        "puzzles": len(reference),
        "permutations": len(permutations),
    }
