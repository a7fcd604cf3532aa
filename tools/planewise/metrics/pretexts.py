"""Scores of contrastive predictive coding (how often a prediction identifies its patch), of restored images, and of slice
ordering, for single pairs of slices and for the order of a whole stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

from planewise.losses import candidate_scores

#: The images that are compared with the target: the network's output, its input, and the mean of the visible pixels.
ANSWERS = ("restored", "unchanged", "mean")


def found_first(scores: Tensor, right: Tensor) -> Tensor:
    """1 if the right candidate has the highest score, otherwise 0.

    If several candidates share the highest score, each gets an equal share of 1. A network with constant scores therefore
    has the accuracy of guessing.

    Args:
        scores: ``(..., N)``.
        right: index of the right candidate, ``(...)`` int64.

    Returns:
        ``(...)``, float64.
    """
    highest = scores == scores.amax(dim=-1, keepdim=True)
    return highest.gather(-1, right[..., None])[..., 0].double() / highest.sum(dim=-1)


def candidates_told(prediction: Tensor, target: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Prepare the input of `ignite.metrics.Accuracy`: the scores of the candidates, ``(B * Q, 1 + N)``, and the index of the
    right candidate, ``(B * Q,)``.

    The right candidate comes last, so that a tie counts as an error.
    """
    scores = candidate_scores(prediction, target).flip(1)
    return scores, torch.full((len(scores),), scores.shape[1] - 1, device=scores.device)


def patch_scores(found: Tensor, found_of_all: Tensor, ahead: Tensor, candidates: int, patches: int) -> dict[str, Any]:
    """Compute how often predictions identify their patches.

    Args:
        found: whether each prediction identifies its patch among its candidates, ``(N, Q)``, from `found_first`.
        found_of_all: the same, among all patches of the image.
        ahead: number of rows from the known patches to each predicted patch, ``(N, Q)`` int64.
        candidates, patches: number of candidates of a prediction, and number of patches of an image.

    Returns:
        ``accuracy`` and ``chance`` (the accuracy of guessing) among the candidates; ``accuracy_of_all`` and
        ``chance_of_all`` among all patches; ``predictions``, their number; and ``by_rows_ahead``, the accuracies for each
        number of rows.
    """
    rows = []
    for number in ahead.unique().tolist():
        chosen = ahead == number
        rows.append(
            {
                "rows_ahead": number,
                "accuracy": float(found[chosen].mean()),
                "accuracy_of_all": float(found_of_all[chosen].mean()),
                "predictions": int(chosen.sum()),
            }
        )
    return {
        "accuracy": float(found.double().mean()),
        "chance": 1 / candidates,
        "accuracy_of_all": float(found_of_all.double().mean()),
        "chance_of_all": 1 / patches,
        "predictions": found.numel(),
        "by_rows_ahead": rows,
    }


def restoration_errors(answer: Tensor, wanted: Tensor, where: Tensor) -> Tensor:
    """Mean squared error of each image over selected pixels; NaN if no pixel is selected.

    Args:
        answer, wanted: the image to score and the target, ``(B, C, ...)``; the image may be any tensor that broadcasts to
            the shape of the target.
        where: the pixels that count, ``(B, 1, ...)``, bool.

    Returns:
        ``(B,)``, float32.
    """
    where = where.expand_as(wanted)
    squares = (answer.float() - wanted.float()).square().expand_as(wanted)
    total = torch.where(where, squares, 0.0).flatten(1).sum(dim=1)
    return total / where.flatten(1).sum(dim=1)


def mean_of_seen(image: Tensor, hidden: Tensor) -> Tensor:
    """The mean of the visible pixels of each image, ``(B, 1, 1, ...)``; 0 if all pixels are hidden.

    Args:
        image: ``(B, C, ...)``.
        hidden: ``(B, 1, ...)``, bool.
    """
    seen = ~hidden.expand_as(image)
    mean = torch.where(seen, image, 0.0).flatten(1).sum(dim=1) / seen.flatten(1).sum(dim=1).clamp_min(1)
    return mean.reshape(-1, *[1] * (image.ndim - 1))


def restoration_scores(hidden: NDArray[np.floating], kept: NDArray[np.floating]) -> dict[str, Any]:
    """Scores of restored images, and of two images that need no network, for comparison.

    Args:
        hidden, kept: mean squared errors of each image over its hidden pixels and over its other pixels, ``(N, 3)``, with
            a column for each of `ANSWERS`; NaN if an image has no such pixels.

    Returns:
        ``hidden`` and ``kept``: for each of `ANSWERS`, the mean over the images that have such pixels. ``hidden`` also has
        ``chance``, which is its ``mean``, and ``lower_is_better``, for `planewise.reports.main_score`. ``images`` is the
        number of images.
    """
    scores: dict[str, Any] = {}
    for name, errors in (("hidden", hidden), ("kept", kept)):
        known = errors[np.isfinite(errors).all(axis=1)]
        means = known.mean(axis=0) if len(known) else np.full(len(ANSWERS), np.nan)
        scores[name] = {answer: float(mean) for answer, mean in zip(ANSWERS, means, strict=True)}
    scores["hidden"] |= {"chance": scores["hidden"]["mean"], "lower_is_better": True}
    return scores | {"images": len(hidden)}


Array = NDArray[np.floating]

#: Two slices on opposite sides of the centre of their stack mirror each other if their distances from the centre differ by
#: at most this share of the stack's length, which is less than two slices in a stack of twelve.
MIRRORED = 0.1


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
