"""Measure distances between the surfaces of two segmentations, for whole volumes and slice by slice.

MONAI's `compute_average_surface_distance` and `get_edge_surface_distance` measure the same distances, but for one mask at
a time. Here, masks are cropped to the structure once, and all slices of a volume share a distance map. `tools/benchmarks`
compares the speed of both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from scipy.ndimage import binary_erosion, binary_fill_holes, distance_transform_edt, generate_binary_structure
from torch import Tensor

Mask: TypeAlias = Tensor | np.ndarray
#: Neighbours within a slice.
_IN_PLANE = generate_binary_structure(2, 1)[..., None]
#: Assumed distance between slices, mm. It is so large that the nearest point of a contour is always in the same slice.
_APART = 1e4


def average_surface_distance(prediction: Mask, reference: Mask, spacing: Sequence[float]) -> float:
    """Average symmetric surface distance, mm: the mean distance of the surface voxels of each mask from the other surface.

    Args:
        prediction, reference: masks of one structure ``(i, j)`` or ``(i, j, slices)``; neither may be empty.
        spacing: spacing along each axis, mm.
    """
    masks = [mask.astype(bool) for mask in cropped(prediction, reference)]
    surfaces = [mask & ~binary_erosion(mask) for mask in masks]
    distances = [to_other[own] for own, to_other in _to_the_other(surfaces, spacing)]
    return float(np.concatenate(distances).mean())


def mean_contour_distance(prediction: Mask, reference: Mask, spacing: Sequence[float]) -> float:
    """Mean contour distance of a volume, mm (Bai et al., JCMR 20:65, 2018, used by Bai 2019, Fig. 4).

    For each slice, ``1 / (2 |A|) sum_(p in A) d(p, B) + 1 / (2 |B|) sum_(q in B) d(q, A)``, where A and B are the two
    contours and d is the distance from the nearest point of the other contour; then the mean over the slices. Unlike in
    the average symmetric surface distance, both directions have equal weight, whatever the lengths of the contours.

    As in the public code of that group, only slices in which both segmentations have the structure count, and the
    contours are outer contours. If the myocardium is a closed ring, its outer contour is the epicardium; if it is open,
    as in 4ch, it is the whole outline.

    Args:
        prediction, reference: masks of one structure ``(i, j, slices)``.
        spacing: spacing of the pixels along i and j, mm.

    Returns:
        Millimetres; NaN if no slice has the structure in both masks.
    """
    found, true = (mask.astype(bool) for mask in cropped(prediction, reference))
    both = found.any((0, 1)) & true.any((0, 1))
    if not both.any():
        return math.nan
    filled = [binary_fill_holes(mask[..., both], _IN_PLANE) for mask in (found, true)]
    contours = [mask & ~binary_erosion(mask, _IN_PLANE) for mask in filled]
    distances = [
        (to_other * own).sum((0, 1)) / own.sum((0, 1))
        for own, to_other in _to_the_other(contours, (*spacing[:2], _APART))
    ]
    return float(np.mean(distances))


def cropped(*volumes: Tensor | np.ndarray) -> list[np.ndarray]:
    """Crop masks or label maps of the same shape to the smallest box that contains all values other than zero."""
    arrays = [volume if isinstance(volume, np.ndarray) else volume.cpu().numpy() for volume in volumes]
    either = np.logical_or.reduce([array != 0 for array in arrays])
    box: list[slice] = []
    for axis in range(either.ndim):
        there = np.flatnonzero(either.any(tuple(other for other in range(either.ndim) if other != axis)))
        box.append(slice(there[0], there[-1] + 1) if len(there) else slice(0))
    return [array[tuple(box)] for array in arrays]


def _to_the_other(surfaces: Sequence[np.ndarray], spacing: Sequence[float]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pair each of two surfaces with a map of the distances from the other surface, mm."""
    sampling = [float(size) for size in spacing]
    to_first, to_second = (distance_transform_edt(~surface, sampling=sampling) for surface in surfaces)
    return [(surfaces[0], to_second), (surfaces[1], to_first)]
