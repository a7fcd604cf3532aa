"""Count the epochs until training converges (Nakashima, Fig. 1; Taleb 2020, Figs. 5 and 6)."""

from __future__ import annotations

import math
from collections.abc import Sequence


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
