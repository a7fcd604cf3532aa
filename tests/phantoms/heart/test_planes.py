"""Test that planes follow the anatomy (Zhang 2024, section 3 and Fig. 2), with errors of the requested size."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from planewise.geometry.planes import angle_between_planes
from planewise.workshop.phantoms import UNLABELLED
from planewise.workshop.phantoms.heart.exam import lay_planes, true_planes
from planewise.workshop.phantoms.heart.heart import Heart

EXACT = UNLABELLED.with_values(
    turn_error=0.0, tilt_error=0.0, offset_error=0.0, image_rotation=0.0, image_shift=0.0, coverage=(0.0, 0.0)
)


def _angle(one: np.ndarray, other: np.ndarray) -> float:
    """Degrees between two planes."""
    return float(torch.rad2deg(angle_between_planes(torch.as_tensor(one), torch.as_tensor(other))))


@pytest.fixture(scope="module")
def heart() -> Heart:
    return Heart.sample(np.random.default_rng(5), "NOR")


def test_an_average_heart_is_cut_as_the_real_exam_was():
    # normals in cardiac_cine_exam, RAS+; its 4ch view is itself tilted by 7 degrees from the axis of its short-axis stack
    real = {
        "4ch": (-0.055, -0.822, -0.567),
        "3ch": (0.741, -0.259, -0.620),
        "2ch": (0.782, 0.621, -0.046),
        "sax": (0.480, -0.620, 0.620),
        "rv_2ch": (-0.648, -0.729, 0.220),
        "rvot": (0.989, 0.061, -0.134),
    }
    average = UNLABELLED.with_values(tilt=0.0, roll=0.0, position=0.0, shape=0.0)
    planes = true_planes(Heart.sample(np.random.default_rng(0), "NOR", average))
    for view, normal in real.items():
        assert _angle(np.array(normal) / np.linalg.norm(normal), planes[view][1]) < 10


@pytest.fixture(scope="module")
def upright() -> Heart:
    """A heart with the septum to the right, and the apex 3 parts to the front and 4 parts down."""
    heart = Heart.sample(np.random.default_rng(5), "NOR")
    shape = replace(heart.shape, radius=26.0, right_depth=40.0, right_angle=np.radians(30.0), basal_length=24.0)
    axes = np.array([[1.0, 0, 0], [0, -0.8, -0.6], [0, 0.6, -0.8]])
    return Heart(replace(heart.patient, wall=9.0), shape, np.array([-40.0, 10.0, 5.0]), axes)


#: The six planes of that heart, (origin, normal). The middle of the right ventricle is 26 + 9 + 0.45 * 40 = 53 mm from
#: the long axis.
KNOWN = {
    "sax": ((-40, 10, 5), (0, 0.6, -0.8)),
    # the views lie at 30, -30 and -90 degrees from the septum; their normals are a quarter turn further
    "4ch": ((-40, 10, 5), (-0.5, -0.6928203, -0.5196152)),
    "3ch": ((-40, 10, 5), (0.5, -0.6928203, -0.5196152)),
    "2ch": ((-40, 10, 5), (1, 0, 0)),
    # origin 53 mm towards the septum and 5 mm towards the base; the view's axis leans 14 degrees towards the left
    # ventricle's apex
    "rv_2ch": ((13, 7, 9), (0.9702957, 0.1451531, -0.1935375)),
    # 37.1 mm towards the septum, 42.4 mm away from the inferior wall, at the base; upright
    "rvot": ((-2.9, 29.52, 49.64), (0.9899050, 0.0593943, -0.1286876)),
}


@pytest.mark.parametrize("view", KNOWN)
def test_true_planes_in_known_numbers(upright, view):
    origin, normal = true_planes(upright)[view]
    np.testing.assert_allclose(origin, KNOWN[view][0], atol=1e-6)
    np.testing.assert_allclose(normal, KNOWN[view][1], atol=1e-6)


@pytest.mark.parametrize("view", KNOWN)
def test_without_errors_the_planes_that_are_laid_are_the_true_ones(upright, view):
    origin, normal = KNOWN[view]
    pose = lay_planes(upright, EXACT, np.random.default_rng(0), 8.0)[view][0]
    # as planes, because a technologist may view them from either side
    np.testing.assert_allclose(pose.normal * np.sign(pose.normal @ normal), normal, atol=1e-6)
    if view == "sax":
        # the first slice of the stack is at the base, 24 mm from the equator, its centre 12 mm towards the septum
        np.testing.assert_allclose(pose.centre, [-28, 10 - 14.4, 5 + 19.2], atol=1e-6)
    else:
        assert (pose.centre - origin) @ np.array(normal) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("view", ["2ch", "4ch", "3ch"])
def test_errors_have_the_size_asked_for(heart, view):
    population = UNLABELLED.with_values(turn_error=4.0, tilt_error=3.0, offset_error=2.0)
    turns, tilts, offsets = [], [], []
    _, normal = true_planes(heart)[view]
    for seed in range(250):
        pose = lay_planes(heart, population, np.random.default_rng(seed), 10.0)[view][0]
        sign = np.sign(pose.normal @ normal)
        tilts.append(np.degrees(np.arcsin(pose.normal @ heart.long_axis)))
        turns.append(np.degrees(np.arcsin(sign * pose.normal @ np.cross(heart.long_axis, normal))))
        offsets.append((heart.centre - pose.centre) @ pose.normal)
    assert np.std(turns) == pytest.approx(4, rel=0.2)
    assert np.std(tilts) == pytest.approx(3, rel=0.2)
    assert np.std(offsets) == pytest.approx(2, rel=0.2)


def test_image_axes_are_perpendicular_unit_vectors_and_never_mirror(heart):
    for seed in range(10):
        for view, poses in lay_planes(heart, UNLABELLED, np.random.default_rng(seed), 10.0).items():
            frame = np.stack([poses[0].row, poses[0].column, poses[0].normal])
            np.testing.assert_allclose(frame @ frame.T, np.eye(3), atol=1e-9, err_msg=view)
            assert np.linalg.det(frame) == pytest.approx(1)
