"""Test that labels have the paper's frequencies, and that every finding is visible at its place."""

from dataclasses import replace

import numpy as np
import pytest
from planewise.workshop.phantoms import KNEE_LABELLED, Recipe
from planewise.workshop.phantoms.knee import joint
from planewise.workshop.phantoms.knee.knee import KINDS, Oedema, Tear, dealt_kind
from planewise.workshop.phantoms.knee.leg import Leg
from planewise.workshop.phantoms.knee.population import WEIGHTINGS

SHARES = KNEE_LABELLED.findings


def _rates(kinds) -> np.ndarray:
    """Shares of abnormal knees, ACL tears, meniscal tears."""
    return np.mean(np.array(list(kinds), dtype=float), axis=0)


def test_the_table_meets_the_papers_rates():
    rates = np.array(SHARES) @ np.array(KINDS, dtype=float)
    np.testing.assert_allclose(rates, [0.806, 0.210, 0.359], atol=1e-9)
    assert sum(SHARES) == pytest.approx(1)


def test_a_large_set_and_every_small_one_have_these_rates():
    np.testing.assert_allclose(
        _rates(dealt_kind((3, 4), k, SHARES) for k in range(1, 1251)), [0.806, 0.21, 0.359], atol=0.004
    )
    for seed in range(20):
        rates = _rates(dealt_kind((seed, 4), k, SHARES) for k in range(1, 61))
        np.testing.assert_allclose(rates, [0.806, 0.21, 0.359], atol=0.06)


def test_every_exam_is_as_likely_to_be_of_a_kind():
    # over many seeds, a single exam number has the same shares
    rates = _rates(dealt_kind((seed, 4), 17, SHARES) for seed in range(1500))
    np.testing.assert_allclose(rates, [0.806, 0.21, 0.359], atol=0.045)


def test_labels_and_signs_agree():
    recipe = Recipe("mrnet", 3, KNEE_LABELLED)
    for number in range(1, 200):
        findings = recipe.organ(number).findings
        assert findings.acl_tear == (findings.acl_gap > 0)
        assert findings.meniscal_tear == bool(findings.tears)
        signs = bool(findings.oedemas) or findings.cyst > 0 or findings.cartilage_loss > 0 or findings.effusion > 1.4
        assert signs <= findings.abnormal
        if findings.abnormal and not (findings.acl_tear or findings.meniscal_tear):
            assert signs, "an abnormal knee shows something"


def test_severity_scales_the_signs():
    strong, weak, none = (Recipe("mrnet", 3, KNEE_LABELLED.with_values(severity=factor)) for factor in (1.0, 0.4, 0.0))
    for number in range(1, 40):
        one, other, gone = (recipe.organ(number).findings for recipe in (strong, weak, none))
        assert one.labels == other.labels == gone.labels
        assert one.acl_gap >= other.acl_gap >= gone.acl_gap == 0
        assert all(a.width > b.width for a, b in zip(one.tears, other.tears, strict=True))
        assert gone.cyst == gone.cartilage_loss == 0 and gone.effusion < 1.4


# --- visibility in the image -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound() -> Leg:
    """A normal knee's leg."""
    recipe = Recipe("mrnet", 3, KNEE_LABELLED)
    number = next(k for k in range(1, 60) if not recipe.organ(k).findings.abnormal)
    leg = recipe.exam(number).leg
    return replace(leg, knee=replace(leg.knee, findings=replace(leg.knee.findings, degeneration=0.0, effusion=0.8)))


def _with(leg: Leg, **findings) -> Leg:
    return replace(leg, knee=replace(leg.knee, findings=replace(leg.knee.findings, **findings)))


def _signal(leg: Leg, at) -> np.ndarray:
    return leg.paint(at, WEIGHTINGS["t2_fs"], 0.5)[0]


def _above(leg: Leg, tibia_at) -> np.ndarray:
    """Height over the plateau of points in the tibia's frame."""
    return joint.tibia(tibia_at, leg.knee.shape)[1]


def _box(middle, half: float = 8.0, step: float = 0.8):
    """Points of a cube in the knee's frame."""
    axis = np.arange(-half, half + step, step)
    grid = np.meshgrid(*(axis + value for value in middle), indexing="ij")
    return tuple(part.ravel().astype(np.float32) for part in grid)


def test_a_torn_acl_is_bright_where_a_whole_one_is_dark(sound):
    places = sound.knee.landmarks
    middle = 0.55 * places["acl_femur"] + 0.45 * places["acl_tibia"]
    at = _box(middle, 5)
    inside = joint.acl(at, sound.knee)[0] > 1.5
    torn = _with(sound, acl_tear=True, acl_gap=0.5, acl_place=0.45, acl_strength=0.8)
    assert np.median(_signal(sound, at)[inside]) < 0.2
    assert np.median(_signal(torn, at)[inside]) > 0.5


@pytest.mark.parametrize("medial", [True, False])
def test_a_meniscal_tear_is_a_bright_cleft_that_reaches_the_surface(sound, medial):
    tear = Tear(medial, towards=2.65, reach=9.0, width=1.8, slope=0.5, lost=0.0, strength=0.9)
    wedge = joint.MENISCI[medial]
    at = _box((wedge.centre[0], wedge.centre[1] - 12, 0), 14, 0.9)
    tibia_at = sound.knee.into("tibia", at)
    points = joint.meniscus(tibia_at[0], tibia_at[1], _above(sound, tibia_at), medial)
    before, after = _signal(sound, at), _signal(_with(sound, meniscal_tear=True, tears=(tear,)), at)
    changed = np.abs(after - before) > 0.2
    assert changed.sum() > 50
    # only inside the wedge and next to it, and all the way to its surface
    assert points.depth[changed].min() > -1.7
    assert points.depth[changed].min() < 0.5 < points.depth[changed].max()
    assert (after >= before - 1e-6)[changed].all()


@pytest.mark.parametrize(
    ("findings", "place", "frame"),
    [
        ({"effusion": 7.0}, (0, 27, 62), "femur"),
        ({"oedemas": (Oedema("femur", (22, 2, 13), 9.0, 0.8),)}, (22, 2, 13), "femur"),
        ({"oedemas": (Oedema("tibia", (-22, -5, -13), 9.0, 0.8),)}, (-22, -5, -13), "tibia"),
        ({"cyst": 8.0}, (-23, -48, 8), "femur"),
        ({"cartilage_loss": 2.2, "loss_place": (-22.0, 0.0)}, (-22, -14.5, 1.8), "femur"),
    ],
)
def test_every_other_sign_brightens_its_place(sound, findings, place, frame):
    at = _box(sound.knee.out_of(frame, place), 2.5, 0.5)
    before, after = _signal(sound, at), _signal(_with(sound, **findings), at)
    assert np.percentile(after - before, 75) > 0.15


def test_degeneration_is_grey_but_reaches_no_surface(sound):
    wedge = joint.MENISCI[True]
    at = _box((wedge.centre[0], wedge.centre[1] - 14, 0), 12, 0.9)
    tibia_at = sound.knee.into("tibia", at)
    points = joint.meniscus(tibia_at[0], tibia_at[1], _above(sound, tibia_at), True)
    change = _signal(_with(sound, degeneration=0.6), at) - _signal(sound, at)
    assert change.max() > 0.05
    assert (change[points.depth < 0.7] < 0.02).all()


def test_normal_knees_have_fluid_and_vessels_too(sound):
    at = _box(sound.knee.landmarks["middle"], 45, 2.0)
    assert (_signal(sound, at) > 0.6).sum() > 20
