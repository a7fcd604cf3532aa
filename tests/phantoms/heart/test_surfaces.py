"""Test ray coordinates: interpolation between table nodes and volumes, against formulas and voxels."""

import numpy as np
import pytest
from planewise.workshop.phantoms.heart.surfaces import (
    ANGLES,
    APICAL,
    DEPTH,
    ELEVATION,
    LEVEL,
    PHI,
    BasePlane,
    Surfaces,
    enclosed_volume,
    locate,
)

RADIUS = 30.0


def _sphere_on_cylinder(radius: float) -> np.ndarray:
    """A half sphere on a cylinder: in ray coordinates, its surface is at the same distance everywhere."""
    return np.full((len(LEVEL), ANGLES), radius)


def _egg(radius: float, length: float) -> np.ndarray:
    """Half an ellipsoid of revolution on a cylinder."""
    apical = 1 / np.hypot(np.cos(ELEVATION) / radius, np.sin(ELEVATION) / length)
    return np.where(APICAL, apical, radius)[:, None] * np.ones(ANGLES)


def _surfaces(table: np.ndarray) -> Surfaces:
    base = BasePlane(-20, 0, 0)
    return Surfaces(table, table, table, table, table, base, base)


def test_depth_is_distance_on_sphere_and_cylinder():
    points = np.random.default_rng(0).uniform(-45, 45, (2000, 3))
    across = np.hypot(points[:, 0], points[:, 1])
    distance = RADIUS - np.where(points[:, 2] > 0, np.linalg.norm(points, axis=1), across)
    depths = _surfaces(_sphere_on_cylinder(RADIUS)).depths(locate(points))
    np.testing.assert_allclose(depths[0], distance, atol=1e-3)


def test_depth_is_distance_next_to_a_slanting_surface():
    # a point one mm outside an egg along its normal, away from the equator and the pole
    radius, length = 25.0, 65.0
    for angle in np.radians([20, 45, 65]):
        on = np.array([radius * np.cos(angle), 0, length * np.sin(angle)])
        normal = on / np.array([radius, 1, length]) ** 2
        outside = on + normal / np.linalg.norm(normal)
        depths = _surfaces(_egg(radius, length)).depths(locate(outside[None]))
        assert depths[0, 0] == pytest.approx(-1, abs=0.1)


def test_volume_of_half_ellipsoid_and_cylinder():
    radius, length, height = 25.0, 65.0, 20.0
    exact = np.pi * radius**2 * (2 / 3 * length + height) / 1000
    assert enclosed_volume(_egg(radius, length), 0.0, BasePlane(-height, 0, 0)) == pytest.approx(exact, rel=0.005)


def test_volume_of_shell_under_tilted_base_against_voxels():
    outer, inner, base = _egg(33, 72), _egg(24, 64), BasePlane(-18, 0.2, -0.3)
    grid = np.arange(-80, 80, 1.25, dtype=np.float32)
    points = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), axis=-1).reshape(-1, 3)
    where = locate(points)
    inside = (_surfaces(outer).depths(where)[0] > 0) & (_surfaces(inner).depths(where)[0] <= 0)
    inside &= base.height(where.x, where.y, where.z) > 0
    assert enclosed_volume(outer, inner, base) == pytest.approx(inside.sum() * 1.25**3 / 1000, rel=0.01)


def test_points_of_a_surface_lie_on_it():
    rng = np.random.default_rng(1)
    table = 30 + 3 * np.cos(2 * PHI + rng.uniform()) * np.cos(ELEVATION)[:, None] - 4 * np.abs(LEVEL)[:, None]
    surfaces = _surfaces(table)
    points = np.stack([part[1:-1].ravel() for part in surfaces.points("epicardium")], axis=-1)
    np.testing.assert_allclose(surfaces.depths(locate(points))[1], 0, atol=0.02)
    assert DEPTH.min() < 0 < ELEVATION.max()
