"""Share of a saliency map inside an organ."""

from __future__ import annotations

import numpy as np


def inside_share(saliency: np.ndarray, mask: np.ndarray) -> float | None:
    """The share of a map's sum that is inside a mask.

    Args:
        saliency: not negative, any shape.
        mask: bool, of the same shape.

    Returns:
        0 to 1; None for a map of zeros.
    """
    total = float(saliency.sum(dtype=np.float64))
    return float(saliency[mask].sum(dtype=np.float64)) / total if total > 0 else None
