"""Check geometry without a model: two slices must show the same tissue along their line of intersection."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import map_coordinates
from scipy.stats import pearsonr
from torch import Tensor

from planewise.geometry import clip_lines, intersection_lines, pixels_to_patient, plane_from_affine

#: Distance between samples, mm; about a pixel.
_STEP = 1.0

#: Minimum length of an informative profile, mm.
_SHORTEST = 30.0


def line_profiles(image: Tensor, affine: Tensor, other: Tensor, other_affine: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Sample two slices along their line of intersection.

    Args:
        image, other: pixels ``(i, j)``.
        affine, other_affine: ``(4, 4)``, RAS+, mm.

    Returns:
        Two profiles of equal length, with one sample per millimetre of the part of the line that is inside both images.
        They are empty if the images do not intersect.
    """
    ends = clip_lines(intersection_lines(affine, *plane_from_affine(other_affine)), (image.shape[0], image.shape[1]))
    ends = pixels_to_patient(ends, affine)
    length = float((ends[1] - ends[0]).norm())
    if not np.isfinite(length):
        return np.empty(0), np.empty(0)
    steps = torch.linspace(0, 1, max(2, int(length / _STEP)), dtype=torch.float64)[:, None]
    points = ends[0] + steps * (ends[1] - ends[0])
    sampled, inside = [], np.ones(len(points), dtype=bool)
    for pixels, matrix in ((image, affine), (other, other_affine)):
        homogeneous = (
            torch.cat([points, torch.ones(len(points), 1)], dim=1) @ torch.linalg.inv(matrix.to(torch.float64)).T
        )
        index = homogeneous[:, :2].numpy().T
        limit = np.array(pixels.shape)[:, None] - 1
        inside &= ((index >= 0) & (index <= limit)).all(axis=0)
        sampled.append(map_coordinates(np.asarray(pixels, dtype=np.float64), index, order=1))
    return sampled[0][inside], sampled[1][inside]


def profile_correlation(image: Tensor, affine: Tensor, other: Tensor, other_affine: Tensor) -> float:
    """Pearson correlation of the `line_profiles`; NaN if they are too short or one of them is constant."""
    first, second = line_profiles(image, affine, other, other_affine)
    if len(first) * _STEP < _SHORTEST or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(pearsonr(first, second).statistic)
