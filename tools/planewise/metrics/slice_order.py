"""Scores of slice ordering: single pairs, and the order of a stack that all its pairs vote for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

Array = NDArray[np.floating]

#: Two slices mirror each other about the centre of their stack if they lie on opposite sides of it, at distances from it that
#: differ by no more than this share of the stack's length: less than two slices of a stack of a dozen.
MIRRORED = 0.1
#: Upper bounds of the distances that are told apart, as shares of the stack's length.
DISTANCES = (0.2, 0.4, 0.6, 0.8, 1.0)


def places_by_votes(logits: Array) -> Array:
    """The order of a stack's slices from what a network says of all pairs.

    Each pair votes for the one of its slices that is nearer to the beginning, by the difference of the logits of its two
    orders. The slice with most votes is the first; among those with equally many the larger sum of differences decides.

    Args:
        logits: ``(k, k)``, positive where the slice of the row is nearer to the beginning than that of the column.

    Returns:
        Place of each slice, ``(k,)``, from 0 for the first to 1 for the last; 0 for one alone.
    """
    margin = np.asarray(logits, dtype=np.float64) - np.asarray(logits, dtype=np.float64).T
    votes, strength = (margin > 0).sum(axis=1), margin.sum(axis=1)
    places = np.zeros(len(margin))
    places[np.lexsort((-strength, -votes))] = np.arange(len(margin)) / max(len(margin) - 1, 1)
    return places


def pairs_of_stack(logits: Array, places: Array) -> dict[str, NDArray[Any]]:
    """What a network says of every ordered pair of different slices of a stack.

    Args:
        logits: as of `places_by_votes`.
        places: where the slices truly lie, ``(k,)``, from 0 to 1.

    Returns:
        Columns of ``k (k - 1)`` rows: ``first`` and ``second``, the places of the two, and ``correct``.
    """
    first, second = np.nonzero(~np.eye(len(places), dtype=bool))
    correct = (np.asarray(logits)[first, second] > 0) == (places[first] < places[second])
    return {"first": places[first], "second": places[second], "correct": correct}


def mirrored(first: Array, second: Array) -> NDArray[np.bool_]:
    """Which pairs of places mirror each other about the centre, within `MIRRORED`."""
    one, other = first - 0.5, second - 0.5
    # what is exactly at the bound belongs to it, whatever rounding makes of it
    return (one * other < 0) & (np.abs(one + other) <= MIRRORED + 1e-9)


def order_scores(pairs: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Accuracy of pairs: of all, of those that mirror each other about the centre of their stack, and of the others.

    Args:
        pairs: as of `pairs_of_stack`, of any number of stacks.

    Returns:
        ``accuracy``, ``chance``, ``pairs``; ``mirrored_accuracy``, ``mirrored_pairs``; ``other_accuracy``. NaN without pairs.
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
    """Accuracy of pairs by how far apart they lie, mirrored pairs and others apart.

    Args:
        pairs: as of `order_scores`.

    Returns:
        Columns of a table: ``distance_from``, ``distance_to`` (shares of the stack's length; the upper bound belongs to it),
        ``mirrored`` (0 or 1), ``pairs``, ``accuracy``. There are rows for what there are pairs of.
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
    """How well the predicted orders of whole stacks agree with the true ones.

    Args:
        predicted, places: of each stack, the places of its slices.

    Returns:
        ``stacks``, those of at least three slices; ``rank_correlation``, the mean of Spearman's over them; ``direction``, the
        share of them whose beginning is told from its end, where the correlation is positive. NaN without stacks.
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
