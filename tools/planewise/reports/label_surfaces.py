"""Turn labels on widely spaced slices into a surface between the slices."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt


def label_distances(mask: np.ndarray) -> np.ndarray:
    """Signed distances from a structure's edge in every slice, positive inside; the zero level is a surface without
    steps.

    Interpolating distances instead of labels between slices is shape-based interpolation (Raya and Udupa 1990).

    Args:
        mask: ``(i, j, slices)``, bool.

    Returns:
        ``(i + 2, j + 2, slices + 2)``, pixels: a border of background, and an empty slice at each end, so that the
        structure's surface closes half a slice beyond the last slice that shows it.
    """
    padded = np.pad(mask, 1)
    distances = np.empty(padded.shape, dtype=np.float32)
    far = -float(max(mask.shape[:2]))
    for number in range(padded.shape[2]):
        inside = padded[..., number]
        if inside.any():
            # half a pixel, because the edge lies between the pixels
            distances[..., number] = np.where(
                inside, distance_transform_edt(inside) - 0.5, 0.5 - distance_transform_edt(~inside)
            )
        else:
            distances[..., number] = far
    for number in range(padded.shape[2]):
        if not padded[..., number].any():
            shown = [
                near for near in (number - 1, number + 1) if 0 <= near < padded.shape[2] and padded[..., near].any()
            ]
            for near in shown:
                nearest = distances[..., near]
                closing = nearest - 2 * nearest.max()
                distances[..., number] = np.maximum(distances[..., number], closing)
    return distances
