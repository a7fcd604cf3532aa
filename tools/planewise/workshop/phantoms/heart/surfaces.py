"""The surfaces of the heart at one instant, as tables of distances along rays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Number of angles around the long axis, which are five degrees apart.
ANGLES = 72
#: Number of table rows from the base to the equator, and from the equator to the apex.
HALF = 24
#: Distance of the basal rows from the equator towards the base, mm.
BASAL_REACH = 60.0

#: Angle of each table column around the long axis, radians: 0 at the middle of the septum, pi / 2 at the inferior wall.
PHI = np.arange(ANGLES) * (2 * np.pi / ANGLES)
#: Level of each table row. From -1 to 0, it goes from base to equator, in units of `BASAL_REACH`; from 0 to 1, it is the
#: elevation towards the apex, in units of 90 degrees.
LEVEL = np.linspace(-1, 1, 2 * HALF + 1)
#: Elevation of each row, radians; 0 on the basal side.
ELEVATION = np.clip(LEVEL, 0, 1) * np.pi / 2
#: Position of each row along the long axis relative to the equator, mm; negative on the basal side, 0 on the apical side.
DEPTH = np.clip(LEVEL, -1, 0) * BASAL_REACH
#: True for apical rows, whose rays start at the centre; false for basal rows, whose rays start at the axis.
APICAL = LEVEL > 0


@dataclass(frozen=True)
class Location:
    """Points in the heart's ray coordinates, which are computed once and used in every phase: ``(N,)``, float32, mm.

    The basal half uses cylindrical coordinates about the long axis, and the apical half uses spherical coordinates about
    the centre. They agree at the equator, so a single table can describe any surface that each ray meets once.
    """

    x: np.ndarray  # distance from the long axis towards the septum
    y: np.ndarray  # distance from the long axis towards the inferior wall
    z: np.ndarray  # distance from the equator towards the apex
    ray: np.ndarray  # distance along the ray, from the axis (basal) or from the centre (apical)
    corners: tuple[np.ndarray, ...]  # flat table indices of the four entries around each point, int32
    weights: tuple[np.ndarray, ...]  # their bilinear weights, (N, 1)


def locate(local: np.ndarray) -> Location:
    """Ray coordinates of points ``(N, 3)`` given in the heart's own frame (septal, inferior, apical), mm."""
    x, y, z = (np.ascontiguousarray(local[:, axis], dtype=np.float32) for axis in range(3))
    across = np.sqrt(x * x + y * y)
    apical = np.maximum(z, 0)
    ray = np.sqrt(across * across + apical * apical)
    level = np.where(z > 0, np.arctan2(apical, across) * np.float32(2 / np.pi), z * np.float32(1 / BASAL_REACH))
    row = np.clip((level + 1) * HALF, 0, 2 * HALF - np.float32(1e-3))
    column = np.arctan2(y, x) * np.float32(ANGLES / (2 * np.pi)) + ANGLES
    row_index, column_index = row.astype(np.int32), column.astype(np.int32)
    # float32 minus int32 would be float64
    row_part, column_part = row - row_index.astype(np.float32), column - column_index.astype(np.float32)
    columns = (column_index % ANGLES, (column_index + 1) % ANGLES)
    first = row_index * ANGLES
    corners = tuple(start + each for start in (first, first + ANGLES) for each in columns)
    shares = ((row, column) for row in (1 - row_part, row_part) for column in (1 - column_part, column_part))
    return Location(x, y, z, ray, corners, tuple((row * column)[:, None] for row, column in shares))


def nodes(reach: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y and z of a table's nodes in the heart's frame, mm, each of the shape of ``reach``."""
    across = reach * np.cos(ELEVATION)[:, None]
    along = np.where(APICAL[:, None], reach * np.sin(ELEVATION)[:, None], DEPTH[:, None])
    return across * np.cos(PHI), across * np.sin(PHI), along


@dataclass(frozen=True)
class BasePlane:
    """The plane at the base of a ventricle, which occupies ``z > level + towards_septum x + towards_inferior y``, mm."""

    level: float
    towards_septum: float
    towards_inferior: float

    def height(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Distance from the plane along the long axis, positive on the ventricle's side, mm."""
        return z - np.float32(self.level) - np.float32(self.towards_septum) * x - np.float32(self.towards_inferior) * y


@dataclass(frozen=True)
class Surfaces:
    """All surfaces of the ventricles at one instant. Tables are ``(2 HALF + 1, ANGLES)``, and contain mm along the ray."""

    endocardium: np.ndarray  # inner surface of the left ventricle, without papillary muscles and trabeculae
    epicardium: np.ndarray  # outer surface of the left ventricle; also the right ventricle's septal wall
    right: np.ndarray  # inner surface of the right ventricle's free wall; elsewhere, the epicardium
    right_wall: np.ndarray  # outer surface of the right ventricle's free wall
    outline: np.ndarray  # outer surface of the fat around both ventricles
    left_base: BasePlane
    right_base: BasePlane

    def depths(self, where: Location) -> dict[str, np.ndarray]:
        """Approximate depth of points inside each surface, by its name: mm, positive inside, shape ``(N,)``."""
        names = ("endocardium", "epicardium", "right", "right_wall", "outline")
        tables = np.stack([getattr(self, name) for name in names], axis=-1).astype(np.float32)
        stacked = np.concatenate([tables, _obliquity(tables)], axis=-1).reshape(-1, 2 * len(names))
        values = stacked.take(where.corners[0], axis=0) * where.weights[0]
        for corner, weight in zip(where.corners[1:], where.weights[1:], strict=True):
            values += stacked.take(corner, axis=0) * weight
        values = values.T
        return dict(zip(names, (values[: len(names)] - where.ray) * values[len(names) :], strict=True))


def _obliquity(tables: np.ndarray) -> np.ndarray:
    """Cosine of the angle between the ray and the surface's normal, which converts a distance along the ray to a distance
    from the surface; tables of mm, ``(2 HALF + 1, ANGLES, K)``."""
    step = 2 * np.pi / ANGLES
    around = (np.roll(tables, -1, axis=1) - np.roll(tables, 1, axis=1)) / (2 * step)
    along = np.gradient(tables, axis=0)
    reach = np.maximum(tables, 3.0)
    lever = reach * np.maximum(np.cos(ELEVATION), 0.1)[:, None, None]
    # one row is BASAL_REACH / HALF mm along the axis, or 90 / HALF degrees of elevation
    per_mm = np.where(APICAL[:, None, None], along * HALF / (np.pi / 2) / reach, along * HALF / BASAL_REACH)
    slope = (around / lever) ** 2 + per_mm**2
    return (1 / np.sqrt(1 + np.minimum(slope, 15.0))).astype(np.float32)


def enclosed_volume(outer: np.ndarray, inner: np.ndarray | float, base: BasePlane, steps: int = 12) -> float:
    """Volume between two surfaces, tables in mm, on the ventricle's side of the base plane, ml; none where inner exceeds
    outer. The number of points along each ray, ``steps``, matters only if the base plane cuts rays."""
    inner = np.minimum(np.broadcast_to(inner, outer.shape), outer)
    parts = (np.arange(steps) + 0.5) / steps
    reach = inner + (outer - inner) * parts[:, None, None]
    row_depth = BASAL_REACH / HALF
    # each row represents a slab around it, one row thick, and the base plane cuts some slabs
    inside = np.clip(base.height(*nodes(reach)) / row_depth + 0.5, 0, 1)
    cylinder = reach * row_depth
    sphere = reach**2 * np.cos(ELEVATION)[:, None] * (np.pi / 2 / HALF)
    element = np.where(APICAL[:, None], sphere, cylinder)
    # the row at the equator is half a cylinder and half a sphere; the row at the pole has no extent
    element[:, HALF] = 0.5 * (cylinder[:, HALF] + reach[:, HALF] ** 2 * (np.pi / 2 / HALF))
    cell = element * inside * (outer - inner) / steps * (2 * np.pi / ANGLES)
    return float(cell.sum()) / 1000
