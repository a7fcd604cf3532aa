"""Pictures of patches and their locations in a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from planewise.reports.slices import frame_pixels, name_row, picture_grid, show_slice

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MIDDLE, _TRUE, _WRONG = "#ffffff", "#2ca02c", "#d62728"


def cell_name(cell: int, per_side: int, spatial_dims: int) -> str:
    """Location of a cell relative to the middle one, in cells along each axis: ``i+1 k-1``."""
    steps = [int(at) - per_side // 2 for at in np.unravel_index(cell, [per_side] * spatial_dims)]
    return " ".join(f"{axis}{step:+d}" for axis, step in zip("ijk", steps, strict=False) if step) or "middle"


def patch_location_gallery(
    layers: np.ndarray,
    patches: np.ndarray,
    predicted: Sequence[int],
    reference: Sequence[int],
    per_side: int,
    captions: Sequence[str],
) -> Figure:
    """A column for each image: the middle patch, the query, and the image with their cells.

    The middle has a white frame, the query's cell a green one, and a wrong prediction a red one. A volume has a row for
    each layer of cells across its third axis.

    Args:
        layers: ``(N, 1, i, j)`` for images, ``(N, per_side, i, j)`` for volumes: the slice through the middle of each
            layer of cells.
        patches: the two patches (for volumes the slice through their middle), ``(N, 2, h, w)``.
        predicted, reference: cell numbers ``(N,)``; the last axis of the grid runs fastest.
        per_side: cells along each axis.
        captions: one for each of the N images.
    """
    count, depth = layers.shape[:2]
    dims = 2 if depth == 1 else 3
    figure, grid = picture_grid(2 + depth, count, (2.0 * max(count, 2), 1.0 + 2.0 * (2 + depth)), dpi=100)
    cell_size = [side // per_side for side in layers.shape[2:]]
    numbers = [""] if depth == 1 else [f", layer {number + 1} of {depth}" for number in range(depth)]
    names = ["middle patch", "query", *(f"cells{number}" for number in numbers)]
    for row, name in enumerate(names):
        name_row(grid[row][0], name, 0.06)
    for column in range(count):
        correct = predicted[column] == reference[column]
        for row in range(2):
            show_slice(grid[row][column], patches[column, row])
        grid[0][column].set_title(captions[column], fontsize=8, color="black" if correct else _WRONG)
        framed = [(per_side**dims // 2, _MIDDLE), (reference[column], _TRUE)] + [(predicted[column], _WRONG)] * (
            not correct
        )
        for layer in range(depth):
            show_slice(grid[2 + layer][column], layers[column, layer])
        for cell, colour in framed:
            place = np.unravel_index(int(cell), [per_side] * dims)
            axes = grid[2 + (place[2] if dims == 3 else 0)][column]
            corner = [
                side % per_side // 2 + int(at) * step
                for at, step, side in zip(place, cell_size, layers.shape[2:], strict=False)
            ]
            frame_pixels(axes, corner, cell_size, colour)
    return figure
