"""Test that textures are standard normal, smooth within a feature, and different from each other."""

import numpy as np
import pytest
from planewise.phantoms.texture import Texture


@pytest.fixture(scope="module")
def points():
    grid = np.arange(-90, 90, 3, dtype=np.float32)
    return tuple(part.ravel() for part in np.meshgrid(grid, grid, grid[:20], indexing="ij"))


def test_standard_normal(points):
    values = Texture(np.random.default_rng(0))(*points, 12)
    assert values.dtype == np.float32
    assert abs(values.mean()) < 0.1 and values.std() == pytest.approx(1, abs=0.1)


def test_grain_is_the_width_of_a_feature(points):
    texture = Texture(np.random.default_rng(0))
    x, y, z = points
    for grain in (15, 40):
        here = texture(x, y, z, grain)
        near, far = (np.corrcoef(here, texture(x + shift, y, z, grain))[0, 1] for shift in (grain / 5, grain))
        assert near > 0.8 and abs(far) < 0.15


def test_fields_and_patients_are_apart(points):
    one, other = Texture(np.random.default_rng(0)), Texture(np.random.default_rng(1))
    for first, second in ((one(*points, 12), one(*points, 12, 1)), (one(*points, 12), other(*points, 12))):
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.1
