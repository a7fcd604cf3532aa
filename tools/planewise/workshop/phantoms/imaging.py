"""Positions of images in patient space, and the effects of a scanner: coil shading, blur and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ImagePose:
    """Position of an image: its centre and the directions of its rows and columns (unit vectors, RAS+, mm)."""

    centre: np.ndarray
    row: np.ndarray
    """Direction in which the column index increases, shape ``(3,)``"""
    column: np.ndarray
    """Direction in which the row index increases, shape ``(3,)``"""

    @property
    def normal(self) -> np.ndarray:
        """Cross product of the row and column directions, shape ``(3,)``."""
        return np.cross(self.row, self.column)

    def affine(self, spacing: tuple[float, float], matrix: tuple[int, int], thickness: float) -> np.ndarray:
        """The affine ``(4, 4)`` from voxel indices ``(column index, row index, slice)`` to patient space, RAS+, mm.

        Args:
            spacing: distances between neighbouring pixels along the row and along the column direction, mm.
            matrix: columns and rows.
            thickness: length of the third axis, mm.
        """
        affine = np.eye(4)
        affine[:3, 0] = self.row * spacing[0]
        affine[:3, 1] = self.column * spacing[1]
        affine[:3, 2] = self.normal * thickness
        affine[:3, 3] = self.centre - affine[:3, :2] @ ((np.array(matrix) - 1) / 2)
        return affine

    def moved(self, offset: np.ndarray) -> ImagePose:
        """The same pose at another position."""
        return ImagePose(self.centre + offset, self.row, self.column)


def localizer_poses(centre: np.ndarray, step: float) -> list[ImagePose]:
    """Axial, coronal and sagittal poses of a localizer, three of each, ``step`` mm apart."""
    left, back, down = np.diag([-1.0, -1.0, -1.0])
    return [
        ImagePose(centre + place * np.cross(row, column), row, column)
        for row, column in ((left, back), (left, down), (back, down))
        for place in (-step, 0.0, step)
    ]


def rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rotation matrix ``(3, 3)`` about a unit vector by an angle in radians (Rodrigues).

    The rotation is clockwise when seen from the tip of the axis, looking back at the origin: a rotation by 90 degrees
    about z maps x to -y.
    """
    cross = np.cross(np.eye(3), -np.asarray(axis))
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


#: A slice is the average of thin sheets. These are their distances from its middle, as shares of its thickness.
SHEETS = np.array([-1 / 3, 0.0, 1 / 3])


def image_points(
    pose: ImagePose, spacing: float, matrix: tuple[int, int], offsets: np.ndarray = np.zeros(1)
) -> np.ndarray:
    """Pixel centres of an image in patient space.

    Args:
        pose: pose of the image.
        spacing: pixel spacing, mm.
        matrix: columns and rows.
        offsets: distances of the sheets along the normal, mm, shape ``(S,)``.

    Returns:
        Points, RAS+, mm, shape ``(S, rows, columns, 3)``, float32.
    """
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
