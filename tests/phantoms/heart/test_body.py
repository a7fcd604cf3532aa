"""Test that organs are where they belong and that the chest has room for the heart."""

from dataclasses import replace

import numpy as np
import pytest
from planewise.workshop.phantoms import UNLABELLED
from planewise.workshop.phantoms.heart.body import Body
from planewise.workshop.phantoms.heart.heart import Heart
from planewise.workshop.phantoms.heart.population import GROUPS, Contrast


@pytest.fixture(scope="module")
def contrast() -> Contrast:
    contrast = Contrast.sample(np.random.default_rng(0), UNLABELLED)
    # signals that distinguish the organs
    return replace(contrast, fat=3.0, liver=0.5, lung=0.0, muscle=0.2, stomach=0.7, spleen=0.35)


def _bodies(count: int):
    for seed in range(count):
        heart = Heart.sample(np.random.default_rng(seed), list(GROUPS)[seed % 5])
        yield heart, Body(np.random.default_rng(seed + 100), heart)


def _at(*points):
    return tuple(np.array(part, dtype=np.float32) for part in zip(*points, strict=True))


def test_organs_are_on_their_sides(contrast):
    # right and below: liver; front of the chest above the heart, left and right of the midline: lung; far away: air
    places = _at((65, 5, -55), (75, 20, 40), (-85, 20, 50), (0, 250, 0))
    signals = np.array([body.paint(places, contrast, 1.0)[0] for _, body in _bodies(10)])
    liver, right_lung, left_lung, air = np.median(signals, axis=0)
    assert liver == pytest.approx(0.5, abs=0.1)
    assert right_lung < 0.1 and left_lung < 0.1 and air == 0


def test_the_chest_has_no_second_inside_far_away(contrast):
    grid = np.stack(np.meshgrid(np.arange(-400, 401, 8), np.arange(-400, 401, 8)), -1).reshape(-1, 2)
    far = grid[(np.abs(grid) > 250).any(axis=1)]
    places = _at(*(np.append(place, 0) for place in far))
    for _, body in _bodies(3):
        signal, depth = body.paint(places, contrast, 1.0)
        corner = (np.abs(far) > 250).all(axis=1)
        assert np.isfinite(signal).all() and not signal[corner].any() and (depth[corner] < 0).all()


def test_the_heart_lies_inside_the_chest(contrast):
    for heart, body in _bodies(15):
        surface = np.stack([part[20:, ::4].ravel() for part in heart.surfaces(0.0).points("right_wall")], axis=-1)
        _, depth = body.paint(tuple(heart.to_patient(surface).astype(np.float32).T), contrast, 1.0)
        assert np.percentile(depth, 2) > 8


def test_the_heavy_have_more_fat():
    heart, _ = next(_bodies(1))
    fat = []
    for weight in (55.0, 110.0):
        other = Heart(replace(heart.patient, weight=weight), heart.shape, heart.centre, heart.axes)
        fat.append(np.mean([Body(np.random.default_rng(seed), other).fat for seed in range(5)]))
    assert fat[1] > fat[0] + 10
