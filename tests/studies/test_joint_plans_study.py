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


def test_the_distance_of_two_planes():
    turned = {"origin": [3.0, 0, 0], "normal": [np.cos(np.radians(7)), np.sin(np.radians(7)), 0]}
    angle, offset = distance(turned, {"origin": [0.0, 5, 5], "normal": [-1.0, 0, 0]})
    assert angle == pytest.approx(7) and offset == pytest.approx(3 * np.cos(np.radians(7)))
