"""Count the epochs until training converges (Nakashima, Fig. 1; Taleb 2020, Figs. 5 and 6), and measure which share of a
saliency map is inside an organ."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def epochs_to_converge(epochs: Sequence[int], losses: Sequence[float], share: float = 0.95) -> int | None:
    """The first epoch at which a loss has made a given share of its total decrease from the first value to the lowest.

    Args:
        epochs: numbers of the epochs, in increasing order.
        losses: validation loss of each epoch.
        share: share of the decrease.

    Returns:
        An epoch; None if there is no finite loss. A loss that never falls counts as converged in its first epoch.
    """
    known = [(epoch, loss) for epoch, loss in zip(epochs, losses, strict=True) if math.isfinite(loss)]
    if not known:
        return None
    first, lowest = known[0][1], min(loss for _, loss in known)
    bar = first - share * (first - lowest)
    return int(next(epoch for epoch, loss in known if loss <= bar))


def epoch_that_reached(epochs: Sequence[int], scores: Sequence[float], bar: float) -> int | None:
    """The first epoch whose score reaches a threshold, such as the best score of another run.

    Args:
        epochs: numbers of the epochs, in increasing order.
        scores: validation score of each epoch; a larger score is better.
        bar: the threshold.

    Returns:
        An epoch; None if no score reaches the threshold.
    """
    return next((int(epoch) for epoch, score in zip(epochs, scores, strict=True) if score >= bar), None)


def inside_share(saliency: np.ndarray, mask: np.ndarray) -> float | None:
    """The share of a map's sum that is inside a mask.

    Args:
        saliency: values that are not negative, any shape.
        mask: bool, of the same shape.

    Returns:
        A share from 0 to 1; None if all values are zero.
    """
    total = float(saliency.sum(dtype=np.float64))
    return float(saliency[mask].sum(dtype=np.float64)) / total if total > 0 else None
