"""Compute Dice, average symmetric surface distance and mean contour distance of each structure of a segmented volume."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from planewise.metrics.contours import average_surface_distance, cropped, mean_contour_distance


def volume_scores(
    prediction: Tensor,
    reference: Tensor,
    spacing: Sequence[float],
    structures: Mapping[int, str] | Mapping[tuple[int, ...], str],
) -> dict[str, dict[str, float | bool]]:
    """Scores of one volume as a whole, as in the ACDC challenge (Zhang 2024, section 5.2.2).

    Args:
        prediction, reference: label values, shape ``(i, j, slices)``.
        spacing: spacing of the voxels along the three axes, including the slice distance, mm.
        structures: maps label values to names; a region has several values (`planewise.metrics.region_values`).

    Returns:
        For each structure, ``dice``, ``assd`` (mm), ``contour`` (mm, see `mean_contour_distance`) and ``missed``. If both
        masks are empty, Dice is 1 and the distances are 0. If one mask is empty, Dice is 0, ``missed`` is true, and the
        distances are NaN, because any other value would bias the mean. If no slice has the structure in both masks,
        ``contour`` is NaN, too. For a single slice, ``assd`` is the distance between the contours in its plane.
    """
    scores: dict[str, dict[str, float | bool]] = {}
    of_one_slice = prediction.shape[-1] == 1
    labels = cropped(prediction, reference)
    for value, name in structures.items():
        values = value if isinstance(value, tuple) else (value,)
        found, true = (np.logical_or.reduce([volume == one for one in values]) for volume in labels)
        if not found.any() and not true.any():
            scores[name] = {"dice": 1.0, "assd": 0.0, "contour": 0.0, "missed": False}
            continue
        if not found.any() or not true.any():
            scores[name] = {"dice": 0.0, "assd": math.nan, "contour": math.nan, "missed": True}
            continue
        dice = 2 * (found & true).sum() / (found.sum() + true.sum())
        contour = mean_contour_distance(found, true, spacing)
        # all voxels of a single-slice volume are on its surface, so the distance is computed in the plane
        if of_one_slice:
            assd = average_surface_distance(found[..., 0], true[..., 0], spacing[:2])
        else:
            assd = average_surface_distance(found, true, spacing)
        scores[name] = {"dice": float(dice), "assd": assd, "contour": contour, "missed": False}
    return scores
