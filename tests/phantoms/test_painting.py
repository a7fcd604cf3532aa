"""Test what bodies are painted with: textures, solids and canvases, against known numbers."""

import numpy as np
import pytest
from planewise.workshop.phantoms.painting import Canvas, Texture, cylinder, ellipsoid, paint, rounded, tube


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


def _nearest(points: np.ndarray, surface: np.ndarray) -> np.ndarray:
    """Distance of each point ``(N, 3)`` from the nearest point of the surface ``(M, 3)``."""
    return np.sqrt(((points[:, None] - surface[None]) ** 2).sum(axis=-1)).min(axis=1)


def _columns(points: np.ndarray):
    return tuple(points.astype(np.float32).T)


def test_ellipsoid_next_to_its_surface():
    rng = np.random.default_rng(0)
    centre, radii = np.array([3, -5, 8.0]), np.array([20, 30, 25.0])
    directions = rng.standard_normal((40000, 3))
    surface = centre + radii * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    normals = (surface - centre) / radii**2
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    for depth in (-3.0, -1.0, 1.0, 3.0):
        points = surface[:50] - depth * normals[:50]
        np.testing.assert_allclose(_nearest(points, surface), abs(depth), atol=0.5)
        np.testing.assert_allclose(ellipsoid(_columns(points), centre, radii), depth, atol=0.2 * abs(depth))


def test_cylinder():
    points = np.array([[10, 0], [0, 10], [13, 0], [0, 0]], dtype=np.float32)
    np.testing.assert_allclose(cylinder(tuple(points.T), (0, 0), (10, 10)), [0, 0, -3, 10], atol=1e-5)


def test_tube_against_search():
    rng = np.random.default_rng(1)
    path, radius = np.array([[0, 0, 0], [30, 5, 0], [40, 40, 10.0]]), np.array([10.0, 4.0, 6.0])
    shares = np.linspace(0, 1, 400)[:, None]
    axis = np.concatenate([start + shares * (end - start) for start, end in zip(path[:-1], path[1:], strict=True)])
    width = np.concatenate(
        [first + shares[:, 0] * (last - first) for first, last in zip(radius, radius[1:], strict=False)]
    )
    points = rng.uniform(-20, 60, (300, 3))
    distance = np.sqrt(((points[:, None] - axis[None]) ** 2).sum(axis=-1))
    # the tube's width at a point is that at the nearest point of the axis; search for it on each piece of the axis
    wanted = np.maximum(*(
        (width[part] - distance[:, part])[np.arange(300), distance[:, part].argmin(axis=1)]
        for part in (slice(0, 400), slice(400, 800))
    ))  # fmt: skip
    np.testing.assert_allclose(tube(_columns(points), path, radius), wanted, atol=0.1)


def test_rounded_is_the_smaller_depth_away_from_the_corner():
    first, second = np.array([10.0, 1.0, -2.0, 1.0]), np.array([1.0, 10.0, 10.0, 1.0])
    depth = rounded(first, second, 4.0)
    np.testing.assert_allclose(depth[:3], [1, 1, -2], atol=1e-6)
    assert depth[3] < 1


@pytest.mark.parametrize(
    ("depth", "share"), [(-2.0, 0.0), (-1.0, 0.0), (0.0, 0.5), (0.5, 0.75), (1.0, 1.0), (9.0, 1.0)]
)
def test_paint_fades_over_one_pixel(depth, share):
    signal = np.full(1, 0.2, dtype=np.float32)
    paint(signal, np.full(1, depth, dtype=np.float32), 1.0, edge=2.0)
    assert signal[0] == pytest.approx(0.2 + 0.8 * share, abs=1e-6)


def _points(*values):
    return tuple(np.array(values, dtype=np.float32) for _ in range(3))


def test_a_solid_is_painted_on_every_frame_of_the_picture():
    signal = np.full(3, 0.2, dtype=np.float32)
    canvas = Canvas(signal, _points(0, 1, 2), grain=np.zeros(3), coarse=np.zeros(3), contrast=None, edge=2.0)
    moved = canvas.in_frame(_points(5, 6, 7))
    np.testing.assert_array_equal(moved.at[0], [5, 6, 7])
    depth = np.array([-2, 0.5, 3], dtype=np.float32)
    moved.paint(depth, 1.0)
    # half a pixel inside means three quarters painted, because the border fades over one pixel of 2 mm
    np.testing.assert_allclose(canvas.signal, [0.2, 0.8, 1.0], atol=1e-6)
    wanted = np.full(3, 0.2, dtype=np.float32)
    paint(wanted, depth, 1.0, 2.0)
    np.testing.assert_array_equal(signal, wanted)
