"""The position of an image in patient space."""

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
