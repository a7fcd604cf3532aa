"""Test what bodies are painted with: textures, solids and canvases, against known numbers."""

import numpy as np
from planewise.workshop.phantoms.painting import ellipsoid, tube


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
