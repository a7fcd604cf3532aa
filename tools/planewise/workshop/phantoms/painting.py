"""How bodies are painted and scanned: solids, random fields, canvases of points, blocks of voxels, poses of images, and the
effects of a scanner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

#: Number of nodes along each edge of the lattice, after which it repeats. It has 8 MB, and fits into the cache of a core.
LATTICE = 128
#: Number of nodes across one feature of the field.
FEATURE = 10

Coordinates = tuple[np.ndarray, np.ndarray, np.ndarray]
"""x, y and z of points, float32, mm, all of the same shape."""


@lru_cache(maxsize=1)
def _lattice() -> np.ndarray:
    """The field that all textures read, flattened, standard normal, float32. It is computed once, in 0.2 s."""
    frequency = np.fft.fftfreq(LATTICE)
    radial = np.sqrt(frequency[:, None, None] ** 2 + frequency[:, None] ** 2 + frequency[: LATTICE // 2 + 1] ** 2)
    noise = np.fft.rfftn(np.random.default_rng(20).standard_normal((LATTICE,) * 3, dtype=np.float32))
    # only wavelengths of about two features, so that there is no drift over the lattice and no detail below a few nodes
    band = np.exp(-((radial * 2 * FEATURE - 1) ** 2) / (2 * 0.45**2)) * (radial > 0)
    field = np.fft.irfftn(noise * band, (LATTICE,) * 3, (0, 1, 2))
    return (field / field.std()).astype(np.float32).ravel()


class Texture:
    """Random fields in space with a standard normal value at every point. Every patient has different fields.

    All fields read the same lattice, with different steps, offsets and directions, without interpolation: the field looks
    smooth if a feature is more than about three pixels wide.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._start = rng.uniform(0, LATTICE, 3)
        # the directions are oblique to the body's axes, so that repetitions are never aligned with an image
        self._directions = np.linalg.qr(rng.standard_normal((3, 3)))[0]

    def __call__(self, x: np.ndarray, y: np.ndarray, z: np.ndarray, grain: float, field: int = 0) -> np.ndarray:
        """The field at points x, y, z (mm, float32), as standard normal values of the same shape, float32. A feature is about
        ``grain`` mm wide; different numbers of the ``field`` give independent fields."""
        across = (self._directions * (FEATURE / grain)).astype(np.float32)
        # whole periods are added, so that all coordinates are positive and truncation rounds down
        start = (self._start + np.array([37, 59, 83]) * field + 64 * LATTICE).astype(np.float32)
        index = None
        for (a, b, c), first in zip(across, start, strict=True):
            node = (x * a + y * b + z * c + first).astype(np.int32) & (LATTICE - 1)
            index = node if index is None else index * LATTICE + node
        return _lattice().take(index)


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


def tube(at: Coordinates, path: np.ndarray, radius: np.ndarray | float) -> np.ndarray:
    """Depth inside a tube along a path of straight segments, mm, positive inside. The path's corners are ``(M, 3)``, and the
    radius is ``(M,)``, or the same everywhere, mm."""
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
    """Paint a solid's signal over a picture, float32, in place; ``depth`` is each point's depth inside the solid, mm. Its
    border fades over one pixel (``edge``, mm), like partial volume in the plane."""
    share = np.clip(depth * np.float32(1 / edge) + np.float32(0.5), 0, 1)
    signal += (value - signal) * share


@dataclass(frozen=True)
class Canvas:
    """A picture that is painted step by step: arrays of one shape, float32, with a value for each point."""

    signal: np.ndarray  # the picture so far, relative to the brightest tissue; changed in place
    at: Coordinates  # in the body's own frame
    grain: np.ndarray  # fine texture, standard normal
    coarse: np.ndarray  # coarse texture, standard normal
    contrast: Any  # signals of tissues: `Contrast` of a heart's scanner, `KneeContrast` of a knee's sequence
    edge: float  # pixel size, mm

    def paint(self, depth: np.ndarray, value: np.ndarray | float) -> None:
        """Paint a solid over the picture so far, see `planewise.workshop.phantoms.painting.paint`."""
        paint(self.signal, depth, value, self.edge)


class Block:
    """Signals of several contrasts, and labels, on a common grid of voxels, ``side`` along each axis and of a size along i, j
    and k, mm. ``spread`` has the standard deviations of the body's rotation about each axis (degrees), of its position along
    each axis and of the smooth displacement that makes every body different (mm).

    Attributes:
        signal: the picture so far, ``(contrasts, i, j, k)`` float32.
        labels: label of each voxel, ``(i, j, k)`` uint8.
        at: x, y and z of the voxels in the body's own frame (to the right, to the front and to the head), mm.
    """

    def __init__(
        self, side: int, spacing: Sequence[float], contrasts: int, rng: np.random.Generator, spread: Sequence[float]
    ) -> None:
        turn, shift, bend = spread
        self.signal = np.zeros((contrasts, side, side, side), dtype=np.float32)
        self.labels = np.zeros((side, side, side), dtype=np.uint8)
        self.edge = float(np.mean(np.asarray(spacing, dtype=float)))  # width over which a solid's border fades, mm
        self._texture, self._rng = Texture(rng), rng
        places = np.meshgrid(*((np.arange(side) - (side - 1) / 2) * step for step in spacing), indexing="ij")
        turned = np.eye(3)
        for axis, angle in zip(np.eye(3), np.radians(rng.normal(0, turn, 3)), strict=True):
            turned = turned @ rotation(axis, angle)
        moved = np.tensordot(turned, np.stack(places), 1) + rng.normal(0, shift, 3)[:, None, None, None]
        self.at: Coordinates = tuple(moved.astype(np.float32))
        self.at = tuple(
            part + np.float32(bend) * gaussian_filter(self.texture(70.0, field), 2)
            for field, part in enumerate(self.at)
        )

    def texture(self, grain: float, field: int) -> np.ndarray:
        """A smooth random field, standard normal, with features of ``grain`` mm; each number gives a different field."""
        return self._texture(*self.at, grain, field)

    def paint(self, depth: np.ndarray, values: Sequence[float], label: int | None = None) -> None:
        """Paint a solid over the picture so far, in all contrasts, and label its voxels (with None, labels stay)."""
        value = np.asarray(values, dtype=np.float32)[:, None, None, None]
        paint(self.signal, depth.astype(np.float32), value, self.edge)
        if label is not None:
            self.labels[depth > 0] = label

    def scanned(self, noise: Sequence[float]) -> np.ndarray:
        """The signals as the scanner records them, blurred over half a voxel, with Gaussian noise of a standard deviation
        for each contrast."""
        images = np.stack([gaussian_filter(image, 0.5) for image in self.signal])
        grain = self._rng.standard_normal(images.shape, dtype=np.float32)
        return images + np.asarray(noise, dtype=np.float32)[:, None, None, None] * grain


# --- images ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ImagePose:
    """Position of an image: its centre and the directions in which column and row indices increase.

    All are ``(3,)``, RAS+, mm; the directions are unit vectors.
    """

    centre: np.ndarray
    row: np.ndarray
    column: np.ndarray

    @property
    def normal(self) -> np.ndarray:
        """Cross product of the row and column directions, shape ``(3,)``."""
        return np.cross(self.row, self.column)

    def affine(self, spacing: tuple[float, float], matrix: tuple[int, int], thickness: float) -> np.ndarray:
        """The affine ``(4, 4)`` from voxel indices ``(column index, row index, slice)`` to patient space, RAS+, mm. The
        spacing is along the row and along the column direction, and ``matrix`` has columns and rows."""
        affine = np.eye(4)
        affine[:3, 0] = self.row * spacing[0]
        affine[:3, 1] = self.column * spacing[1]
        affine[:3, 2] = self.normal * thickness
        affine[:3, 3] = self.centre - affine[:3, :2] @ ((np.array(matrix) - 1) / 2)
        return affine

    def moved(self, offset: np.ndarray) -> ImagePose:
        """The same pose at another position."""
        return ImagePose(self.centre + offset, self.row, self.column)


def rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rotation matrix ``(3, 3)`` about a unit vector by an angle in radians (Rodrigues), clockwise when seen from the tip
    of the axis: a rotation by 90 degrees about z maps x to -y."""
    cross = np.cross(np.eye(3), -np.asarray(axis))
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


#: A slice is the average of thin sheets. These are their distances from its middle, as shares of its thickness.
SHEETS = np.array([-1 / 3, 0.0, 1 / 3])


def image_points(
    pose: ImagePose, spacing: float, matrix: tuple[int, int], offsets: np.ndarray = np.zeros(1)
) -> np.ndarray:
    """Pixel centres of an image in patient space, RAS+, mm, shape ``(S, rows, columns, 3)``, float32; ``matrix`` has columns
    and rows, and ``offsets``, ``(S,)``, are the sheets' distances along the normal, mm."""
    affine = pose.affine((spacing, spacing), matrix, 1.0)
    columns, rows = (np.arange(count) for count in matrix)
    points = affine[:3, 3] + columns[:, None] * affine[:3, 0] + rows[:, None, None] * affine[:3, 1]
    return (points + offsets[:, None, None, None] * affine[:3, 2]).astype(np.float32)


def magnitude(images: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Magnitude of two noisy channels. A signal that is negative because of fat becomes bright."""
    channels = rng.standard_normal((2, *images.shape), dtype=np.float32) * np.float32(noise)
    return np.hypot(images + channels[0], channels[1])


def blurred(image: np.ndarray, share: float) -> np.ndarray:
    """Spread a share of each pixel over its neighbours, because real images have more pixels than measured values."""
    side = np.float32(share / 4)
    for axis in (0, 1):
        padded = np.pad(image, [(1, 1) if axis == each else (0, 0) for each in (0, 1)], mode="edge")
        before, after = (padded[:-2], padded[2:]) if axis == 0 else (padded[:, :-2], padded[:, 2:])
        image = image * (1 - 2 * side) + (before + after) * side
    return image


def coil_shading(depth: np.ndarray, uneven: np.ndarray, shading: float) -> np.ndarray:
    """A brightness factor that decreases with the depth below the skin (mm), to 1 far inside."""
    near = np.exp(-np.maximum(depth, 0) * np.float32(1 / 38))
    return 1 + np.float32(shading) * near * np.maximum(1 + np.float32(0.4) * uneven, 0)
