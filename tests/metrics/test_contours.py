"""Test contour distances with pixels of 1.5 by 2 mm; in masks one pixel wide, every pixel is on the contour."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from planewise.metrics import mean_contour_distance

SPACING = (1.5, 2.0, 9.0)


def test_it_is_the_loop_over_all_pairs_of_points():
    draw = np.random.default_rng(0)
    for _ in range(20):
        one, other = (torch.from_numpy(draw.random((8, 8, 3)) < 0.4) for _ in range(2))
        found = []
        for k in range(3):
            contours = [outline(volume[..., k].numpy()) for volume in (one, other)]
            pairs = np.array([[math.hypot(*((p - q) * SPACING[:2])) for q in contours[1]] for p in contours[0]])
            found.append(0.5 * pairs.min(axis=0).mean() + 0.5 * pairs.min(axis=1).mean())
        assert mean_contour_distance(one, other, SPACING) == pytest.approx(np.mean(found), abs=1e-5)


def outline(pixels: np.ndarray) -> np.ndarray:
    """Pixels next to the region that is reachable from outside by steps along the axes."""
    padded = np.pad(pixels, 1)
    outside, waiting = {(0, 0)}, [(0, 0)]
    steps = ((0, 1), (1, 0), (0, -1), (-1, 0))
    while waiting:
        i, j = waiting.pop()
        for di, dj in steps:
            near = (i + di, j + dj)
            inside = 0 <= near[0] < padded.shape[0] and 0 <= near[1] < padded.shape[1]
            if inside and near not in outside and not padded[near]:
                outside.add(near)
                waiting.append(near)
    points = [(i, j) for i, j in np.argwhere(padded) if any((i + di, j + dj) in outside for di, dj in steps)]
    return np.array(points)
