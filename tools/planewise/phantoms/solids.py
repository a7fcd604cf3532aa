"""Compute how deep points lie inside simple solids, and paint a solid over its background."""

from __future__ import annotations

import numpy as np

Coordinates = tuple[np.ndarray, np.ndarray, np.ndarray]
"""x, y and z of points, float32, mm, all of the same shape."""


def ellipsoid(at: Coordinates, centre: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Approximate depth inside an ellipsoid with axes along x, y and z, mm, positive inside."""
    total = slope = 0
    for part, middle, radius in zip(at, centre, radii, strict=True):
        scaled = (part - np.float32(middle)) * np.float32(1 / radius)
        scaled *= scaled
        total = total + scaled
        slope = slope + scaled * np.float32(1 / radius**2)
    total = np.sqrt(total)
    # first-order distance: the implicit function divided by its gradient; at the centre, both are zero
    return total * (1 - total) / np.sqrt(slope + np.float32(1e-9))


def cylinder(at: tuple[np.ndarray, np.ndarray], centre: tuple, radii: tuple[float, float]) -> np.ndarray:
    """Approximate depth inside an elliptic cylinder along z, mm. Its centre may vary from point to point."""
    u = (at[0] - centre[0]) * np.float32(1 / radii[0])
    v = (at[1] - centre[1]) * np.float32(1 / radii[1])
    return (1 - np.sqrt(u * u + v * v)) * np.float32(min(radii))


def tube(at: Coordinates, path: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Depth inside a tube along a path of straight segments, mm, positive inside.

    Args:
        at: points.
        path: corners of the path, shape ``(M, 3)``, mm.
        radius: radius at each corner, shape ``(M,)``, mm.
    """
    path = np.asarray(path, dtype=np.float32)
    radius = np.broadcast_to(np.asarray(radius, dtype=np.float32), len(path))
    depth = None
    for start, end, first, last in zip(path[:-1], path[1:], radius[:-1], radius[1:], strict=True):
        along = end - start
        x, y, z = (part - corner for part, corner in zip(at, start, strict=True))
        share = np.clip((x * along[0] + y * along[1] + z * along[2]) / np.float32(along @ along), 0, 1)
        x, y, z = x - share * along[0], y - share * along[1], z - share * along[2]
        piece = first + share * (last - first) - np.sqrt(x * x + y * y + z * z)
        depth = piece if depth is None else np.maximum(depth, piece)
    return depth


def rounded(first: np.ndarray, second: np.ndarray, radius: float) -> np.ndarray:
    """Depth inside the intersection of two solids, with a rounded edge between them, mm."""
    radius = np.float32(radius)
    corner = np.hypot(np.maximum(radius - first, 0), np.maximum(radius - second, 0))
    return np.maximum(radius, np.minimum(first, second)) - corner


def paint(signal: np.ndarray, depth: np.ndarray, value: np.ndarray | float, edge: float) -> None:
    """Paint a solid over a picture, in place. Its border fades over one pixel, like partial volume in the plane.

    Args:
        signal: the picture so far, float32.
        depth: depth of each point inside the solid, mm, same shape.
        value: the solid's signal.
        edge: pixel size, mm.
    """
    share = np.clip(depth * np.float32(1 / edge) + np.float32(0.5), 0, 1)
    signal += (value - signal) * share
