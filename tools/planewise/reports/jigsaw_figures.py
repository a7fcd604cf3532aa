"""Pictures of jigsaw puzzles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from planewise.reports.slices import frame_pixels, name_row, picture_grid, show_slice

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Space between the tiles of a puzzle, as a share of a tile.
_SPACE = 0.08
_WRONG = "#d62728"


def puzzle_gallery(
    images: np.ndarray,
    tiles: np.ndarray,
    predicted: np.ndarray,
    reference: np.ndarray,
    per_side: int,
    captions: Sequence[str],
) -> Figure:
    """A column for each image, with three rows: the image, its shuffled tiles, and the network's arrangement of them.
    Misplaced tiles have a red frame.

    Args:
        images: ``(N, i, j)``; for volumes the slices through the middle of each layer of cells, one below the other.
        tiles: tiles in the order that the network saw, ``(N, P, h, w)``; for volumes the slice through each tile's middle.
        predicted, reference: permutations ``(N, P)``: position ``s`` of the puzzle shows tile ``p(s)``.
        per_side: tiles along each axis.
        captions: one for each image.
    """
    depth = tiles.shape[1] // per_side**2
    figure, grid = picture_grid(3, len(images), (2.2 * max(len(images), 2), 0.9 + 2.1 * 3 * depth), dpi=100)
    for row, name in enumerate(("image", "shuffled", "in the network's order")):
        name_row(grid[row][0], name, 0.06)
    for column, caption in enumerate(captions):
        show_slice(grid[0][column], images[column])
        grid[0][column].set_title(caption, fontsize=8)
        show_slice(grid[1][column], mosaic(tiles[column], per_side))
        # the network's arrangement puts each tile at its predicted place
        order = predicted[column].argsort()
        show_slice(grid[2][column], mosaic(tiles[column][order], per_side))
        wrong = np.flatnonzero(reference[column][order] != np.arange(len(order)))
        for place in wrong:
            frame_pixels(grid[2][column], _corner(place, per_side, depth, tiles.shape[2:]), tiles.shape[2:], _WRONG)
    return figure


def mosaic(tiles: np.ndarray, per_side: int) -> np.ndarray:
    """Place the tiles ``(P, h, w)`` of a grid next to each other with a dark space between them; the last axis runs
    fastest. The layers of a volume's grid are one below the other, with a wider space between them."""
    depth, tile = len(tiles) // per_side**2, tiles.shape[1:]
    corners = [_corner(place, per_side, depth, tile) for place in range(len(tiles))]
    shape = [last + side for last, side in zip(np.max(corners, axis=0), tile, strict=True)]
    image = np.full(shape, tiles.min(), dtype=tiles.dtype)
    for (row, column), shown in zip(corners, tiles, strict=True):
        image[row : row + tile[0], column : column + tile[1]] = shown
    return image


def _corner(place: int, per_side: int, depth: int, tile: Sequence[int]) -> tuple[int, int]:
    """Origin of a position in a mosaic."""
    row, column, layer = np.unravel_index(place, (per_side, per_side, depth))
    space = max(1, round(_SPACE * min(tile)))
    along = (int(layer) * per_side + int(column)) * (tile[1] + space) + 2 * int(layer) * space
    return int(row) * (tile[0] + space), along
