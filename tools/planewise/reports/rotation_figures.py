"""Pictures of images and volumes rotated by quarter turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from planewise.geometry import rotation_of_class
from planewise.reports.slices import picture_grid, show_slice

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WRONG = "#d62728"


def rotation_name(rotation: int, spatial_dims: int) -> str:
    """A class of rotation in words, such as ``90 deg about j``; for images the axis is left out."""
    plane, quarters = rotation_of_class(int(rotation), spatial_dims)
    if not quarters:
        return "no rotation"
    axis = "" if spatial_dims == 2 else f" about {'ijk'[({0, 1, 2} - set(plane)).pop()]}"
    return f"{90 * quarters} deg{axis}"


def rotation_gallery(layers: Sequence[np.ndarray], captions: Sequence[str], correct: Sequence[bool]) -> Figure:
    """A column for each image, and for volumes a row for the middle layer along each axis; the captions of wrong
    predictions are red.

    Args:
        layers: ``(N, h, w)`` for each row.
        captions, correct: for each of the N images, its caption and whether its rotation was predicted correctly.
    """
    columns = len(captions)
    figure, grid = picture_grid(len(layers), columns, (2.0 * max(columns, 2), 0.9 + 2.0 * len(layers)), dpi=100)
    for column, (caption, right) in enumerate(zip(captions, correct, strict=True)):
        for row, images in enumerate(layers):
            show_slice(grid[row][column], images[column])
        grid[0][column].set_title(caption, fontsize=8, color="black" if right else _WRONG)
    return figure
