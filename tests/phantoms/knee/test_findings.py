"""Test that labels have the paper's frequencies, and that every finding is visible at its place."""

from dataclasses import replace

import numpy as np
import pytest
from planewise.workshop.phantoms import KNEE_LABELLED, Recipe
from planewise.workshop.phantoms.knee import joint
from planewise.workshop.phantoms.knee.knee import dealt_kind
from planewise.workshop.phantoms.knee.leg import Leg
from planewise.workshop.phantoms.knee.population import WEIGHTINGS

SHARES = KNEE_LABELLED.findings


def _rates(kinds) -> np.ndarray:
    """Shares of abnormal knees, ACL tears, meniscal tears."""
    return np.mean(np.array(list(kinds), dtype=float), axis=0)


def test_a_large_set_and_every_small_one_have_these_rates():
    np.testing.assert_allclose(
        _rates(dealt_kind((3, 4), k, SHARES) for k in range(1, 1251)), [0.806, 0.21, 0.359], atol=0.004
    )
    for seed in range(20):
        rates = _rates(dealt_kind((seed, 4), k, SHARES) for k in range(1, 61))
        np.testing.assert_allclose(rates, [0.806, 0.21, 0.359], atol=0.06)


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
