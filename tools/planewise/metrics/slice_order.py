"""Scores of slice ordering, for single pairs of slices and for the order of a whole stack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

Array = NDArray[np.floating]

#: Two slices on opposite sides of the centre of their stack mirror each other if their distances from the centre differ by
#: at most this share of the stack's length, which is less than two slices in a stack of twelve.
MIRRORED = 0.1
#: Upper bounds of the distance bins, as shares of the stack's length.
DISTANCES = (0.2, 0.4, 0.6, 0.8, 1.0)


def places_by_votes(logits: Array) -> Array:
    """Order the slices of a stack by the network's logits for all pairs.

    Each pair of slices votes for the slice that is nearer to the beginning, according to the difference between the logits
    of its two orders. The slice with the most votes comes first. If several slices have equally many votes, the slice
    with the larger sum of differences comes first.

    Args:
        logits: ``(k, k)``, positive if the row's slice is nearer to the beginning than the column's slice.

    Returns:
        Position of each slice, ``(k,)``, from 0 for the first to 1 for the last; 0 for a single slice.
    """
    margin = np.asarray(logits, dtype=np.float64) - np.asarray(logits, dtype=np.float64).T
    votes, strength = (margin > 0).sum(axis=1), margin.sum(axis=1)
    places = np.zeros(len(margin))
    places[np.lexsort((-strength, -votes))] = np.arange(len(margin)) / max(len(margin) - 1, 1)
    return places


def pairs_of_stack(logits: Array, places: Array) -> dict[str, NDArray[Any]]:
    """Compare the network's result for every ordered pair of different slices of a stack with the true order.

    Args:
        logits: see `places_by_votes`.
        places: true positions of the slices, ``(k,)``, from 0 to 1.

    Returns:
        Columns of ``k (k - 1)`` rows: ``first`` and ``second``, the positions of the two slices, and ``correct``.
    """
    first, second = np.nonzero(~np.eye(len(places), dtype=bool))
    correct = (np.asarray(logits)[first, second] > 0) == (places[first] < places[second])
    return {"first": places[first], "second": places[second], "correct": correct}


def mirrored(first: Array, second: Array) -> NDArray[np.bool_]:
    """Whether the positions of each pair mirror each other about the centre, within `MIRRORED`."""
    one, other = first - 0.5, second - 0.5
    # with the tolerance, values exactly at the bound are included despite rounding
    return (one * other < 0) & (np.abs(one + other) <= MIRRORED + 1e-9)


def order_scores(pairs: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Accuracy of all pairs, of pairs whose slices mirror each other about the centre of their stack, and of the other pairs.

    Args:
        pairs: columns from `pairs_of_stack`, of any number of stacks.

    Returns:
        ``accuracy``, ``chance`` and ``pairs``; ``mirrored_accuracy`` and ``mirrored_pairs``; and ``other_accuracy``. An
        accuracy is NaN if there are no such pairs.
    """
    correct, mirror = pairs["correct"], mirrored(pairs["first"], pairs["second"])
    return {
        "accuracy": _mean(correct),
        "chance": 0.5,
        "pairs": len(correct),
        "mirrored_accuracy": _mean(correct[mirror]),
        "mirrored_pairs": int(mirror.sum()),
        "other_accuracy": _mean(correct[~mirror]),
    }


def accuracy_by_distance(pairs: dict[str, NDArray[Any]]) -> dict[str, list[Any]]:
    """Accuracy of pairs by the distance of their slices, separately for mirrored pairs and other pairs.

    Args:
        pairs: see `order_scores`.

    Returns:
        Columns of a table: ``distance_from`` and ``distance_to`` (shares of the stack's length; a bin includes its upper
        bound), ``mirrored`` (0 or 1), ``pairs`` and ``accuracy``. Only bins that contain pairs have a row.
    """
    distance = np.abs(pairs["first"] - pairs["second"])
    bounds = np.array(DISTANCES)
    inside, mirror = np.searchsorted(bounds, distance - 1e-9), mirrored(pairs["first"], pairs["second"])
    table: dict[str, list[Any]] = {
        name: [] for name in ("distance_from", "distance_to", "mirrored", "pairs", "accuracy")
    }
    for number, upper in enumerate(bounds.tolist()):
        for which in (0, 1):
            chosen = (inside == number) & (mirror == bool(which))
            if chosen.any():
                row = (DISTANCES[number - 1] if number else 0.0, upper, which, int(chosen.sum()))
                for name, value in zip(table, (*row, _mean(pairs["correct"][chosen])), strict=True):
                    table[name].append(value)
    return table


def stack_scores(predicted: Sequence[Array], places: Sequence[Array]) -> dict[str, Any]:
    """Agreement of the predicted orders of whole stacks with the true orders.

    Args:
        predicted, places: for each stack, the positions of its slices.

    Returns:
        ``stacks``, the number of stacks with at least three slices; ``rank_correlation``, their mean Spearman
        correlation; and ``direction``, the share of stacks with a positive correlation, in which the network has
        recognised the first end. Both are NaN if there are no such stacks.
    """
    pairs = [(one, other) for one, other in zip(predicted, places, strict=True) if len(one) > 2]
    correlations = np.array([spearmanr(one, other).statistic for one, other in pairs])
    return {
        "stacks": len(correlations),
        "rank_correlation": _mean(correlations),
        "direction": _mean(correlations > 0),
    }


def _mean(values: NDArray[Any]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
