"""Rotate and flip grids exactly, in steps of 90 degrees; and find the patches of a grid that predict the next rows."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

#: Rotations of a plane: by 0, 90, 180 and 270 degrees.
PLANE_ROTATIONS = 4

#: Rotations of a volume: the identity, and 90, 180 and 270 degrees about each axis (Taleb 2020, section 3.4).
VOLUME_ROTATIONS = 10


def rotation_of_class(rotation: int, spatial_dims: int) -> tuple[tuple[int, int], int]:
    """The two spatial axes of the plane in which a class rotates, and the number of 90 degree steps, as in `numpy.rot90`.

    Args:
        rotation: in a plane, 0 to 3; in a volume, 0 to 9: 1 to 3 about the first axis, 4 to 6 the second, 7 to 9 the third.
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


class PredictedPatches(NamedTuple):
    """Q predictions: the patch of the context, the number of rows ahead, and the predicted patch, each ``(Q,)`` int64."""

    context: Tensor
    ahead: Tensor
    patch: Tensor


def inverted_pyramids(patches_per_side: int, spatial_dims: int) -> tuple[Tensor, Tensor]:
    """The context of every patch that has a row after it: an inverted pyramid of the patch and earlier patches.

    Rows follow each other along the first axis; patches are numbered with the last axis fastest. The context of patch
    ``(i, j, k)`` is all ``(u, v, w)`` in the grid with ``u <= i``, ``|v - j| <= i - u`` and ``|w - k| <= i - u``.

    Args:
        patches_per_side: number n of patches along each axis.
        spatial_dims: number d of axes, 2 or 3.

    Returns:
        The numbers of the patches in each context, ``(M, T)`` int64, and the length of each context, ``(M,)`` int64.
        The patches start with the first row and end with the context's own patch; a context shorter than T is padded
        with its own patch. There are ``M = (n - 1) n^(d - 1)`` contexts, and context m belongs to patch m.
    """
    sides = [torch.arange(patches_per_side)] * spatial_dims
    places = torch.cartesian_prod(*sides).reshape(-1, spatial_dims)
    own = torch.arange(len(places) - len(places) // patches_per_side)
    above = places[own, None, 0] - places[None, :, 0]
    beside = (places[own, None, 1:] - places[None, :, 1:]).abs().amax(dim=2)
    inside = (above >= 0) & (beside <= above)
    length = inside.sum(dim=1)
    # numbers increase row by row, so a stable sort keeps the first row first and the context's own patch last
    numbers = (~inside).long().argsort(dim=1, stable=True)[:, : int(length.max())]
    filled = torch.arange(numbers.shape[1]) >= length[:, None]
    return torch.where(filled, own[:, None], numbers), length


def predicted_patches(patches_per_side: int, spatial_dims: int, rows_ahead: int) -> PredictedPatches:
    """Pair every patch with the patches directly after it in the next 1 to ``rows_ahead`` rows of the grid.

    Args:
        patches_per_side, spatial_dims: see `inverted_pyramids`.
        rows_ahead: maximum number of rows ahead, smaller than ``patches_per_side``.
    """
    row = patches_per_side ** (spatial_dims - 1)
    context = torch.arange((patches_per_side - 1) * row).repeat_interleave(rows_ahead)
    ahead = torch.arange(1, rows_ahead + 1).repeat(len(context) // rows_ahead)
    patch = context + ahead * row
    kept = patch < patches_per_side * row
    return PredictedPatches(context[kept], ahead[kept], patch[kept])
