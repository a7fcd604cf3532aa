"""How long a training took to converge: Nakashima Fig. 1, Taleb 2020 Figs. 5 and 6."""

from __future__ import annotations

import math
from collections.abc import Sequence


def epochs_to_converge(epochs: Sequence[int], losses: Sequence[float], share: float = 0.95) -> int | None:
    """The first epoch at which a loss had fallen by this share of its whole fall, from its first value to its lowest.

    Args:
        epochs: epochs, rising.
        losses: validation loss of each.
        share: share of the fall.

    Returns:
        An epoch; None where there is no finite loss. A loss that never falls converged in its first epoch.
    """
    known = [(epoch, loss) for epoch, loss in zip(epochs, losses, strict=True) if math.isfinite(loss)]
    if not known:
        return None
    first, lowest = known[0][1], min(loss for _, loss in known)
    bar = first - share * (first - lowest)
    return int(next(epoch for epoch, loss in known if loss <= bar))


def epoch_that_reached(epochs: Sequence[int], scores: Sequence[float], bar: float) -> int | None:
    """The first epoch with a score at least as high as a bar, say the best of another training.

    Args:
        epochs: epochs, rising.
        scores: validation score of each, larger is better.
        bar: to be reached.

    Returns:
        An epoch; None where no score reaches it.
    """
    return next((int(epoch) for epoch, score in zip(epochs, scores, strict=True) if score >= bar), None)
