"""Test that the knee is anatomically plausible: separate bones, ligaments in place, left as the mirror image of right."""

from dataclasses import replace

import numpy as np
import pytest
from planewise.workshop.phantoms import KNEE_UNLABELLED, UNLABELLED, Recipe
from planewise.workshop.phantoms.knee.knee import Knee
from planewise.workshop.phantoms.knee.leg import Leg
from planewise.workshop.phantoms.knee.population import WEIGHTINGS


@pytest.fixture(scope="module", params=[1, 2, 3, 4])
def knee(request) -> Knee:
    """Knees at the ends and in the middle of the range of flexion."""
    flexion = {1: (0.0, 0.1), 2: (8.0, 9.0), 3: (16.0, 17.0), 4: (24.9, 25.0)}[request.param]
    return Recipe("fastmri", 5, KNEE_UNLABELLED.with_values(flexion=flexion)).organ(request.param)


def _at(point) -> tuple[np.ndarray, ...]:
    return tuple(np.array([value], dtype=np.float32) for value in point)


def test_points_go_to_the_knee_and_back(knee):
    points = np.random.default_rng(0).normal(0, 60, (50, 3))
    np.testing.assert_allclose(knee.to_patient(knee.to_local(points)), points, atol=1e-9)
    for bone in ("femur", "tibia", "patella"):
        for point in points[:5]:
            inside = np.concatenate(knee.into(bone, _at(knee.out_of(bone, point))))
            np.testing.assert_allclose(inside, point, atol=1e-4)


def test_a_left_knee_is_the_mirror_image_of_a_right_one():
    knee = Recipe("fastmri", 2, KNEE_UNLABELLED).organ(1)
    right = replace(knee, patient=replace(knee.patient, left=False), centre=np.array([80.0, 3, 5]), axes=np.eye(3))
    mirror = np.diag([-1.0, 1, 1])
    left = replace(
        right, patient=replace(knee.patient, left=True), centre=mirror @ right.centre, axes=np.eye(3) @ mirror
    )
    points = right.centre + np.random.default_rng(0).normal(0, 25, (4000, 3))
    signals = []
    for one, at in ((right, points), (left, points @ mirror)):
        leg = Leg.sample(np.random.default_rng(4), one)
        columns = tuple(np.ascontiguousarray(one.to_local(at)[:, axis], dtype=np.float32) for axis in range(3))
        signals.append(leg.paint(columns, WEIGHTINGS["pd"], 1.0)[0])
    np.testing.assert_allclose(*signals, atol=1e-3)


def test_right_knees_lie_right_and_left_knees_left():
    recipe = Recipe("fastmri", 2, KNEE_UNLABELLED.with_values(centred=0.0))
    knees = [recipe.organ(number) for number in range(1, 40)]
    assert {knee.patient.left for knee in knees} == {True, False}
    for knee in knees:
        side = -1 if knee.patient.left else 1
        assert side * knee.centre[0] > 40
        assert side * knee.axes[0][0] > 0.9, "x runs to the lateral side"
        assert np.linalg.det(knee.axes) == pytest.approx(side)
        # a leg's rotation is limited to what scanning allows
        turn = np.degrees(np.arctan2(knee.axes[1][0], knee.axes[1][1]))
        assert abs(turn) < 20


@pytest.mark.parametrize(
    "recipe", [Recipe("fastmri", 5, KNEE_UNLABELLED), Recipe("dsbcc", 5, UNLABELLED)], ids=["knee", "heart"]
)
def test_no_two_parts_of_an_exam_are_drawn_from_one_stream(recipe, monkeypatch):
    """With a single stream, the size of an organ would determine the noise of its images."""
    seeds, make = [], np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda seed: seeds.append(tuple(seed)) or make(seed))
    exam = recipe.exam(3)
    exam.rng(0), exam.rng(1)
    assert len(set(seeds)) == len(seeds) >= 6
