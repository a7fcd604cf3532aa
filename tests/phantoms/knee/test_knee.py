"""Test that the knee is anatomically plausible: separate bones, ligaments in place, left as the mirror image of right."""

from dataclasses import replace

import numpy as np
import pytest
from planewise.workshop.phantoms import KNEE_UNLABELLED, UNLABELLED, Recipe
from planewise.workshop.phantoms.knee import joint
from planewise.workshop.phantoms.knee.knee import KINDS, Knee
from planewise.workshop.phantoms.knee.leg import Leg
from planewise.workshop.phantoms.knee.population import WEIGHTINGS


@pytest.fixture(scope="module", params=[1, 2, 3, 4])
def knee(request) -> Knee:
    """Knees at the ends and in the middle of the range of flexion."""
    flexion = {1: (0.0, 0.1), 2: (8.0, 9.0), 3: (16.0, 17.0), 4: (24.9, 25.0)}[request.param]
    return Recipe("fastmri", 5, KNEE_UNLABELLED.with_values(flexion=flexion)).organ(request.param)


def _grid(step: float = 2.0):
    """Points around the joint in the knee's frame: x, y, z."""
    axes = (np.arange(-46, 47, step), np.arange(-48, 64, step), np.arange(-60, 81, step))
    return tuple(part.ravel().astype(np.float32) for part in np.meshgrid(*axes, indexing="ij"))


def _bones(knee: Knee, at) -> dict[str, np.ndarray]:
    tibia, _ = joint.tibia(knee.into("tibia", at), knee.shape)
    return {
        "femur": joint.femur(knee.into("femur", at), knee.shape)[0],
        "tibia": tibia,
        "fibula": joint.fibula(knee.into("tibia", at), tibia),
        "patella": joint.patella(knee.into("patella", at), knee),
    }


def _at(point) -> tuple[np.ndarray, ...]:
    return tuple(np.array([value], dtype=np.float32) for value in point)


def test_bones_do_not_overlap_and_nearly_touch(knee):
    depths = _bones(knee, _grid())
    names = list(depths)
    for rank, one in enumerate(names):
        for other in names[rank + 1 :]:
            assert np.minimum(depths[one], depths[other]).max() < -0.4, (one, other)
    # two layers of cartilage lie between the condyles and the plateau
    assert np.minimum(depths["femur"], depths["tibia"]).max() > -3.5
    assert np.minimum(depths["femur"], depths["patella"]).max() > -6


def test_bones_are_as_large_as_bones(knee):
    litres = {name: (depth > 0).sum() * 8 / 1000 for name, depth in _bones(knee, _grid()).items()}
    for name, low, high in (("femur", 130, 220), ("tibia", 70, 130), ("patella", 10, 25)):
        assert low < litres[name] < high, name


def test_points_go_to_the_knee_and_back(knee):
    points = np.random.default_rng(0).normal(0, 60, (50, 3))
    np.testing.assert_allclose(knee.to_patient(knee.to_local(points)), points, atol=1e-9)
    for bone in ("femur", "tibia", "patella"):
        for point in points[:5]:
            inside = np.concatenate(knee.into(bone, _at(knee.out_of(bone, point))))
            np.testing.assert_allclose(inside, point, atol=1e-4)


def test_flexion_is_the_angle_between_the_shafts(knee):
    femur = knee.out_of("femur", (0, 0, 100)) - knee.out_of("femur", (0, 0, 0))
    tibia = knee.out_of("tibia", (0, 0, 100)) - knee.out_of("tibia", (0, 0, 0))
    assert np.arccos(femur @ tibia / 1e4) == pytest.approx(knee.shape.flexion, abs=1e-6)
    # the femur leans back, the tibia leans forward, and the direction halfway between them is vertical
    assert femur[1] <= 0 <= tibia[1]
    middle = femur + tibia
    np.testing.assert_allclose(middle / np.linalg.norm(middle), [0, 0, 1], atol=1e-9)


def test_cruciate_ligaments_end_on_their_bones_and_cross(knee):
    places = knee.landmarks
    for name, bone in (("acl_femur", "femur"), ("pcl_femur", "femur"), ("acl_tibia", "tibia"), ("pcl_tibia", "tibia")):
        depth = _bones(knee, _at(places[name]))[bone][0]
        assert abs(depth) < 5, f"{name} is {depth:.1f} mm inside the {bone}"
    # the anterior ligament runs from the lateral condyle forward and down, the posterior one from the medial condyle back and
    # down
    assert places["acl_femur"][0] > 5 > places["pcl_femur"][0]
    assert places["acl_tibia"][1] > places["acl_femur"][1] + 10 and places["acl_tibia"][2] < places["acl_femur"][2]
    assert places["pcl_tibia"][1] < places["pcl_femur"][1] - 15 and places["pcl_tibia"][2] < places["pcl_femur"][2]


def test_ligaments_run_free_between_their_ends(knee):
    start, end = knee.landmarks["acl_femur"], knee.landmarks["acl_tibia"]
    for share in (0.35, 0.5, 0.65):
        point = _at(start + share * (end - start))
        assert joint.acl(point, knee)[0][0] > 2
        assert max(depth[0] for depth in _bones(knee, point).values()) < 0


def test_patellar_tendon_is_as_long_as_a_tendon(knee):
    length = np.linalg.norm(knee.landmarks["patella_tip"] - knee.landmarks["tuberosity"])
    assert 35 < length < 65


def test_menisci_are_wedges_open_to_the_notch(knee):
    x, y, z = knee.into("tibia", _grid(1.5))
    _, above = joint.tibia((x, y, z), knee.shape)
    for medial in (True, False):
        points = joint.meniscus(x, y, above, medial)
        inside = points.depth > 0
        assert 1.5 < inside.sum() * 1.5**3 / 1000 < 6, "ml"
        side = -1 if medial else 1
        assert (side * x[inside] > 0).all()
        # high at the rim, thin at the free edge
        rim, edge = inside & (points.inward < 2), inside & (points.inward > 7)
        assert points.height[rim].max() > points.height[edge].max() + 2
        # halfway from front to back, the C is open towards the notch
        centre = joint.MENISCI[medial].centre
        assert not (inside & (np.abs(y - centre[1]) < 3) & (side * (x - centre[0]) < -6)).any()


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


def test_every_kind_of_knee_can_be_sampled():
    for kind in KINDS:
        knee = Knee.sample(np.random.default_rng(0), KNEE_UNLABELLED, kind)
        assert tuple(map(bool, knee.findings.labels.values())) == kind


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_knees_of_one_side_are_otherwise_the_same(share):
    mixed, of_one_side = (Recipe("fastmri", 2, KNEE_UNLABELLED.with_values(**own)) for own in ({}, {"left": share}))
    for number in range(1, 20):
        knee, other = of_one_side.organ(number), mixed.organ(number)
        assert knee.patient == replace(other.patient, left=bool(share))
        assert (knee.shape, knee.findings) == (other.shape, other.findings)


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
