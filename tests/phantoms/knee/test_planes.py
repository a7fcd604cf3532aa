"""Test that stacks follow the anatomy (Zhang 2024, section 5.1.2), with errors of the requested size."""

from dataclasses import replace

import numpy as np
import pytest
from planewise.workshop.phantoms import KNEE_UNLABELLED, Recipe
from planewise.workshop.phantoms.knee.exam import lay_stacks, true_planes
from planewise.workshop.phantoms.knee.knee import EPICONDYLE, Knee

EXACT = KNEE_UNLABELLED.with_values(
    oblique=0.0, turn_error=0.0, tilt_error=0.0, offset_error=0.0, image_rotation=0.0, image_shift=0.0
)


def _exams(population, count=6, seed=4):
    recipe = Recipe("fastmri", seed, population.at_size("demo"))
    return [recipe.exam(number) for number in range(1, count + 1)]


def _degrees(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.degrees(np.arccos(min(abs(one @ other), 1.0))))


def _centre(stack) -> np.ndarray:
    return np.mean([pose.centre for pose in stack], axis=0)


@pytest.fixture(scope="module")
def exact():
    return _exams(EXACT)


def _upright(left: bool) -> Knee:
    """A straight knee of average size in the body's frame; in a left knee, x runs to the left."""
    knee = Recipe("fastmri", 4, KNEE_UNLABELLED).organ(1)
    shape = replace(knee.shape, scale=1.0, flexion=0.0, medial_back=2.0)
    side = -1.0 if left else 1.0
    return replace(
        knee,
        patient=replace(knee.patient, left=left),
        shape=shape,
        centre=np.array([side * 90.0, 4.0, 6.0]),
        axes=np.diag([side, 1.0, 1.0]),
    )


@pytest.mark.parametrize("left", [False, True])
def test_true_planes_in_known_numbers(left):
    planes = true_planes(_upright(left))
    side = -1.0 if left else 1.0
    # the backs of the condyles are 46 mm apart, the medial one 2 mm further back: 2.49 degrees
    across = np.array([side * 46, 2, 0]) / np.hypot(46, 2)
    np.testing.assert_allclose(planes["axial"][1], [0, 0, 1], atol=1e-9)
    np.testing.assert_allclose(planes["sagittal"][1], across, atol=1e-9)
    np.testing.assert_allclose(planes["coronal"][1], np.cross([0, 0, 1], across), atol=1e-9)
    for origin, _ in planes.values():
        # 3 mm behind the joint space and 8 mm above it
        np.testing.assert_allclose(origin, [side * 90, 4 - 3, 6 + 8], atol=1e-9)


@pytest.mark.parametrize("left", [False, True])
def test_without_errors_the_stacks_that_are_laid_are_the_true_planes(left, exact):
    knee = _upright(left)
    stacks = lay_stacks(knee, EXACT, np.random.default_rng(0), exact[0].scanner.protocols)
    for view, (origin, normal) in true_planes(knee).items():
        pose = stacks[view][0]
        np.testing.assert_allclose(pose.normal * np.sign(pose.normal @ normal), normal, atol=1e-9)
        # the stack's middle line passes through the joint's middle
        away = _centre(stacks[view]) - origin
        np.testing.assert_allclose(away - (away @ normal) * normal, 0, atol=1e-9)


def test_sagittal_slices_span_the_epicondyles_and_mirror_about_the_middle(exact):
    for exam in exact:
        across = [exam.knee.to_local(pose.centre)[0] for pose in exam.poses["sagittal"]]
        assert min(across) < -EPICONDYLE + 3 and max(across) > EPICONDYLE - 3
        assert abs(np.mean(across)) < 4
        steps = np.diff(across)
        assert (steps > 0).all() or (steps < 0).all()


def test_errors_are_as_large_as_asked(exact):
    rough = _exams(KNEE_UNLABELLED.with_values(oblique=0.0), 40)
    tilts, offsets, turns = [], [], []
    for exam in rough:
        planes = true_planes(exam.knee)
        tilts.append(_degrees(exam.poses["axial"][0].normal, planes["axial"][1]))
        central = exam.poses["axial"][len(exam.poses["axial"]) // 2]
        middle = exam.knee.to_patient(exam.knee.landmarks["middle"])
        offsets.append((middle - central.centre) @ central.normal)
        # angle in the sagittal picture between its columns and the leg's middle line
        pose = exam.poses["sagittal"][0]
        turns.append(np.degrees(np.arctan2(exam.knee.middle_line @ pose.row, -exam.knee.middle_line @ pose.column)))
    assert 1.0 < np.mean(tilts) < 3.5
    assert 1.2 < np.std(offsets) < 3.2
    # the lines that networks must find are neither always upright nor always in the middle
    assert 5 < np.std(turns) < 15
