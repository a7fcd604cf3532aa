"""Rotate and flip grids exactly, in steps of 90 degrees, and compute the effect on voxel indices."""

from __future__ import annotations

import torch
from torch import Tensor

#: Rotations of a plane: by 0, 90, 180 and 270 degrees.
PLANE_ROTATIONS = 4

#: Rotations of a volume: the identity, and 90, 180 and 270 degrees about each axis (Taleb 2020, section 3.4).
VOLUME_ROTATIONS = 10


def rotation_of_class(rotation: int, spatial_dims: int) -> tuple[tuple[int, int], int]:
    """The two spatial axes of the plane in which a class rotates, and the number of 90 degree steps, as in `numpy.rot90`.

    Args:
        rotation: in a plane, 0 to 3; in a volume, 0 to 9: 1 to 3 rotate about the first axis, 4 to 6 about the second,
            and 7 to 9 about the third.
        spatial_dims: 2 or 3.

    Raises:
        ValueError: there is no such class.
    """
    classes = PLANE_ROTATIONS if spatial_dims == 2 else VOLUME_ROTATIONS
    if not 0 <= rotation < classes:
        raise ValueError(f"rotation must be in 0..{classes - 1}, got {rotation}")
    if spatial_dims == 2:
        return (0, 1), rotation
    axis, quarters = divmod(rotation - 1, 3)
    return ((1, 2), (0, 2), (0, 1))[max(axis, 0)], quarters + 1 if rotation else 0


def rotate90(images: Tensor, rotation: int) -> Tensor:
    """Rotate images ``(B, C, i, j)`` or volumes ``(B, C, i, j, k)`` by one class of rotation, without interpolation."""
    plane, quarters = rotation_of_class(rotation, images.ndim - 2)
    return torch.rot90(images, quarters, [axis + 2 for axis in plane])


def rotate90_matrix(rotation: int, shape: tuple[int, ...]) -> Tensor:
    """Matrix ``(4, 4)``, float64, that maps voxel indices after a rotation (`rotation_of_class`) to those before it, when the
    image has this shape, ``(i, j)`` or ``(i, j, k)``."""
    plane, quarters = rotation_of_class(rotation, len(shape))
    matrix = torch.eye(4, dtype=torch.float64)
    sides = list(shape)
    first, second = plane
    for _ in range(quarters):
        # a quarter turn moves the value at (first, second) to first' = last - second and second' = first
        step = torch.eye(4, dtype=torch.float64)
        step[first, first] = step[second, second] = 0
        step[first, second], step[second, first] = 1, -1
        step[second, 3] = sides[second] - 1
        matrix = matrix @ step
        sides[first], sides[second] = sides[second], sides[first]
    return matrix


def flip_matrix(axis: int, side: int) -> Tensor:
    """Matrix ``(4, 4)``, float64, that maps voxel indices after a flip along an axis of ``side`` voxels back."""
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[axis, axis], matrix[axis, 3] = -1, side - 1
    return matrix
