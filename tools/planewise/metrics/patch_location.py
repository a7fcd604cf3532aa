"""Scores of relative patch location."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from planewise.metrics.confusion import confusion_matrix


def patch_location_scores(
    predicted: NDArray[np.integer], reference: NDArray[np.integer], places: int
) -> dict[str, Any]:
    """Location accuracy: how often the location of a patch is predicted correctly.

    Args:
        predicted, reference: classes of places, ``(N,)`` (`planewise.pretexts.relative_patches.cell_of_class`).
        places: number of places.

    Returns:
        ``accuracy``, its ``chance``, ``queries`` and ``places``; ``accuracy_by_place``, a share for each place, NaN for
        one that was not drawn; and ``confusion``: for each place of the reference, a row of how often each place was
        predicted.
    """
    confusion, shares = confusion_matrix(predicted, reference, places)
    return {
        "accuracy": float((predicted == reference).mean()),
        "chance": 1 / places,
        "queries": len(reference),
        "places": places,
        "accuracy_by_place": shares.tolist(),
        "confusion": confusion.tolist(),
    }
