"""Distance between the contours of two segmentations, slice by slice."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from monai.metrics.utils import get_edge_surface_distance
from scipy.ndimage import binary_fill_holes
from torch import Tensor, as_tensor


def mean_contour_distance(prediction: Tensor, reference: Tensor, spacing: Sequence[float]) -> float:
    """Mean contour distance of a volume, mm (Bai et al., JCMR 20:65, 2018, used by Bai 2019, Fig. 4).

    ``1 / (2 |A|) sum_(p in A) d(p, B) + 1 / (2 |B|) sum_(q in B) d(q, A)`` in each slice, and the mean over the slices. A and
    B are the two contours, d is the distance to the nearest point of the other. As in that group's public code, contours are
    outer ones (the myocardium's is the epicardium where it is a closed ring, its whole outline where it is open, as in 4ch),
    and slices count in which both segmentations have the structure. The two directions weigh the same however long the
    contours are, unlike in the average symmetric surface distance.

    Args:
        prediction, reference: masks of one structure ``(i, j, slices)``.
        spacing: spacing of the pixels along i and j, mm.

    Returns:
        Millimetres; NaN where no slice has both.
    """
    distances = []
    for found, true in zip(prediction.bool().unbind(-1), reference.bool().unbind(-1), strict=True):
        if not found.any() or not true.any():
            continue
        filled = [as_tensor(binary_fill_holes(mask.cpu().numpy())) for mask in (found, true)]
        _, directed, _ = get_edge_surface_distance(
            filled[0], filled[1], spacing=[float(size) for size in spacing[:2]], symmetric=True
        )
        distances.append(np.mean([float(distance.mean()) for distance in directed]))
    return float(np.mean(distances)) if distances else math.nan
