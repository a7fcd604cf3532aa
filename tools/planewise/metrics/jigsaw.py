"""Scores of jigsaw puzzles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


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
