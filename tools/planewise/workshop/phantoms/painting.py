"""What bodies are painted with: solids, smooth random fields, a canvas of points, and a block of voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Generic, TypeVar

import numpy as np
from scipy.ndimage import gaussian_filter

from planewise.workshop.phantoms.imaging import rotation

#: Number of nodes along each edge of the lattice, after which it repeats. It has 8 MB, and fits into the cache of a core.
LATTICE = 128

#: Number of nodes across one feature of the field.
FEATURE = 10


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

    All fields read the same lattice, with different steps, offsets and directions. Each point has the value of a node
    near it, without interpolation. The field looks smooth if a feature is more than about three pixels wide.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._start = rng.uniform(0, LATTICE, 3)
        # the directions are oblique to the body's axes, so that repetitions are never aligned with an image
        self._directions = np.linalg.qr(rng.standard_normal((3, 3)))[0]

    def __call__(self, x: np.ndarray, y: np.ndarray, z: np.ndarray, grain: float, field: int = 0) -> np.ndarray:
        """The field at points.

        Args:
            x, y, z: coordinates, equal shapes, float32, mm.
            grain: approximate width of one feature, mm.
            field: number of the field; different numbers give independent fields.

        Returns:
            Standard normal values, shape of ``x``, float32.
        """
        across = (self._directions * (FEATURE / grain)).astype(np.float32)
        # whole periods are added, so that all coordinates are positive and truncation rounds down
        start = (self._start + np.array([37, 59, 83]) * field + 64 * LATTICE).astype(np.float32)
        index = None
        for (a, b, c), first in zip(across, start, strict=True):
            node = (x * a + y * b + z * c + first).astype(np.int32) & (LATTICE - 1)
            index = node if index is None else index * LATTICE + node
        return _lattice().take(index)


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


Tissues = TypeVar("Tissues")
"""Signal of each tissue by name: `Contrast` of a heart's scanner, `KneeContrast` of a knee's sequence"""


@dataclass(frozen=True)
class Canvas(Generic[Tissues]):
    """A picture that is painted step by step. All arrays are float32 and have the same shape, with one value per point."""

    signal: np.ndarray
    """The picture so far, relative to the brightest tissue; painters change it in place"""
    at: Coordinates
    """x, y, z of the points, mm, in the body's own frame"""
    grain: np.ndarray
    """Fine texture, standard normal"""
    coarse: np.ndarray
    """Coarse texture, standard normal"""
    contrast: Tissues
    edge: float
    """Pixel size, mm"""

    def paint(self, depth: np.ndarray, value: np.ndarray | float) -> None:
        """Paint a solid over the picture so far (`planewise.workshop.phantoms.painting.paint`).

        Args:
            depth: depth of each point inside the solid, mm, negative outside.
            value: signal of the solid.
        """
        paint(self.signal, depth, value, self.edge)

    def in_frame(self, at: Coordinates) -> Canvas[Tissues]:
        """The same picture, with its points in another frame. Painting on either picture changes both."""
        return replace(self, at=at)


class Block:
    """Signals of several contrasts, and labels, on a common grid of voxels.

    Args:
        side: voxels along each axis.
        spacing: size of the voxels along i, j and k, mm.
        contrasts: number of images that are painted at once.
        rng: generator of the body's pose, bends and textures.
        turn: standard deviation of the body's rotation about each axis, degrees.
        shift: standard deviation of the body's position along each axis, mm.
        bend: standard deviation of the smooth displacement that makes every body different, mm.

    Attributes:
        signal: the picture so far, ``(contrasts, i, j, k)`` float32.
        labels: label of each voxel, ``(i, j, k)`` uint8.
        at: x, y and z of the voxels in the body's own frame (to the right, to the front and to the head), mm.
    """

    def __init__(
        self,
        side: int,
        spacing: Sequence[float],
        contrasts: int,
        rng: np.random.Generator,
        turn: float = 0.0,
        shift: float = 0.0,
        bend: float = 0.0,
    ) -> None:
        self.spacing = np.asarray(spacing, dtype=float)
        self.signal = np.zeros((contrasts, side, side, side), dtype=np.float32)
        self.labels = np.zeros((side, side, side), dtype=np.uint8)
        self._texture, self._rng = Texture(rng), rng
        places = np.meshgrid(*((np.arange(side) - (side - 1) / 2) * step for step in self.spacing), indexing="ij")
        turned = np.eye(3)
        for axis, angle in zip(np.eye(3), np.radians(rng.normal(0, turn, 3)), strict=True):
            turned = turned @ rotation(axis, angle)
        moved = np.tensordot(turned, np.stack(places), 1) + rng.normal(0, shift, 3)[:, None, None, None]
        self.at: Coordinates = tuple(moved.astype(np.float32))
        self.at = tuple(
            part + np.float32(bend) * gaussian_filter(self.texture(70.0, field), 2)
            for field, part in enumerate(self.at)
        )

    @property
    def edge(self) -> float:
        """Width over which the border of a solid fades, mm."""
        return float(self.spacing.mean())

    def texture(self, grain: float, field: int) -> np.ndarray:
        """A smooth random field, standard normal, with features of ``grain`` mm; each number gives a different field."""
        return self._texture(*self.at, grain, field)

    def paint(self, depth: np.ndarray, values: Sequence[float], label: int | None = None) -> None:
        """Paint a solid over the picture so far, in all contrasts, and label its voxels.

        Args:
            depth: depth of each voxel inside the solid, mm, negative outside.
            values: the solid's signal in each contrast.
            label: label of the voxels inside; None leaves the labels unchanged.
        """
        value = np.asarray(values, dtype=np.float32)[:, None, None, None]
        paint(self.signal, depth.astype(np.float32), value, self.edge)
        if label is not None:
            self.labels[depth > 0] = label

    def scanned(self, blur: float, noise: Sequence[float]) -> np.ndarray:
        """The signals as the scanner records them: blurred by a Gaussian, with Gaussian noise.

        Args:
            blur: standard deviation of the blur, voxels.
            noise: standard deviation of the noise in each contrast, in the unit of the signal.
        """
        images = np.stack([gaussian_filter(image, blur) for image in self.signal])
        grain = self._rng.standard_normal(images.shape, dtype=np.float32)
        return images + np.asarray(noise, dtype=np.float32)[:, None, None, None] * grain
