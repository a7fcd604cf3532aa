"""Measure which share of a saliency map is inside an organ."""

from __future__ import annotations

import numpy as np


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
