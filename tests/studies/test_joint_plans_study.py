"""Test the functions with which the study of joint plans measures a real exam. The test uses geometry worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tools.studies.joint_plans import distance, long_axis


def test_the_long_axis_runs_through_the_centres_of_the_blood_pool():
    """From each slice to the next (10 mm), the ventricle moves by 2 mm along the rows; a speck at the apex weighs
    little.
    """
    labels = np.zeros((40, 40, 5), dtype=np.uint8)
    for number in range(4):
        labels[10 + number : 21 + number, 10:21, number] = 3
    labels[:, :, 1][labels[:, :, 1] == 0] = 2
    affine = np.diag([2.0, 2.0, 10.0, 1.0])
    assert long_axis(labels, affine) == pytest.approx(np.array([2, 0, 10]) / np.hypot(2, 10), abs=1e-9)
    labels[15, 39, 4] = 3
    assert np.degrees(np.arccos(long_axis(labels, affine) @ np.array([2, 0, 10]) / np.hypot(2, 10))) < 3


def test_the_long_axis_fits_all_pixels_of_the_blood_pool_alike():
    """Each slice counts by its area, so the line is the one that fits the pixels themselves best, slice by slice."""
    labels = np.zeros((60, 60, 4), dtype=np.uint8)
    for number, (first, size) in enumerate([(20, 16), (24, 12), (23, 5), (40, 2)]):
        labels[first : first + size, 30 : 30 + size, number] = 3
    affine = np.diag([1.5, 1.5, 9.0, 1.0])
    pixels = np.argwhere(labels == 3)
    slopes = [np.polyfit(pixels[:, 2], 1.5 * pixels[:, axis], 1)[0] for axis in (0, 1)]
    expected = np.array([*slopes, 9.0])
    assert long_axis(labels, affine) == pytest.approx(expected / np.linalg.norm(expected), abs=1e-9)


def test_the_distance_of_two_planes():
    turned = {"origin": [3.0, 0, 0], "normal": [np.cos(np.radians(7)), np.sin(np.radians(7)), 0]}
    angle, offset = distance(turned, {"origin": [0.0, 5, 5], "normal": [-1.0, 0, 0]})
    assert angle == pytest.approx(7) and offset == pytest.approx(3 * np.cos(np.radians(7)))
