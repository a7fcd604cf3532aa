"""Pictures of jigsaw puzzles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from planewise.reports.slices import show_slice

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
    captions: Sequence[str],
) -> Figure:
    """Rows: the slice, its tiles as they were shuffled, the tiles as the network puts them; a column for each slice. Tiles
    that the network puts in a wrong place have a red frame.

    Args:
        images: ``(N, i, j)``.
        tiles: as the network saw them, ``(N, P, h, w)``.
        predicted, reference: permutations ``(N, P)``: place ``s`` of the puzzle shows tile ``p(s)``.
        captions: one for each slice.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.2 * max(len(images), 2), 7.2), layout="constrained", dpi=100)
    grid = figure.subplots(3, len(images), squeeze=False)
    for row, name in enumerate(("slice", "shuffled", "as the network puts them")):
        grid[row][0].text(-0.06, 0.5, name, rotation=90, va="center", ha="right", transform=grid[row][0].transAxes)
    for column, caption in enumerate(captions):
        show_slice(grid[0][column], images[column])
        grid[0][column].set_title(caption, fontsize=8)
        show_slice(grid[1][column], mosaic(tiles[column]))
        # place q shows what was in the place where the network saw tile q
        order = predicted[column].argsort()
        show_slice(grid[2][column], mosaic(tiles[column][order]))
        _frame(grid[2][column], tiles.shape[2:], np.flatnonzero(reference[column][order] != np.arange(len(order))))
    return figure


def mosaic(tiles: np.ndarray) -> np.ndarray:
    """Tiles ``(P, h, w)`` of a square grid side by side, the second axis running fastest, with a dark space between them."""
    per_side = round(len(tiles) ** 0.5)
    height, width = tiles.shape[1:]
    space = _space(tiles.shape[1:])
    shape = [per_side * (side + space) - space for side in (height, width)]
    image = np.full(shape, tiles.min(), dtype=tiles.dtype)
    for place, tile in enumerate(tiles):
        row, column = (
            number * (side + space) for number, side in zip(divmod(place, per_side), tile.shape, strict=True)
        )
        image[row : row + height, column : column + width] = tile
    return image


def _space(tile: Sequence[int]) -> int:
    return max(1, round(_SPACE * min(tile)))


def _frame(axes, tile: Sequence[int], places: np.ndarray) -> None:
    from matplotlib.patches import Rectangle

    per_side = round((axes.images[0].get_array().shape[1] + _space(tile)) / (tile[0] + _space(tile)))
    for place in places:
        # i runs to the right and j down, as show_slice has it
        corner = [
            number * (side + _space(tile)) - 0.5 for number, side in zip(divmod(place, per_side), tile, strict=True)
        ]
        axes.add_patch(Rectangle(corner, *tile, fill=False, edgecolor=_WRONG, lw=1.5))
