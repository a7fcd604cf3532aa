"""Pictures of the pretexts for any images: rotations, puzzles, patches, restored images, slice order, neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from planewise.geometry import rotation_of_class
from planewise.preprocessing.limit_slices import evenly_spaced
from planewise.reports.slices import Draw, comparison_figure, frame_pixels, name_row, picture_grid, show_slice

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Colours of frames and captions: the middle patch, known patches, what is right, and what the network got wrong.
_MIDDLE, _KNOWN, _RIGHT, _WRONG = "#ffffff", "#4c9be8", "#2ca02c", "#d62728"
#: Space between the tiles of a puzzle, as a share of a tile.
_SPACE = 0.08
#: Number of slices of a stack in one picture of restorations.
_MOST = 10
#: Number of cells of the map of order accuracy along each axis.
_CELLS = 10
_KINDS = ((0, "other pairs", "#1f77b4", "o-"), (1, "mirrored about the centre", _WRONG, "s-"))


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


class PredictedRow(NamedTuple):
    """A row of the picture: the predictions from one context, by patch numbers."""

    ahead: int
    known: list[int]
    right: int
    found: list[int]
    """The predicted patch for each image."""


def prediction_gallery(
    layers: np.ndarray, size: Sequence[int], corners: Sequence[Sequence[int]], rows: Sequence[PredictedRow]
) -> Figure:
    """A column for each image and a row for each predicted patch. The known patches are blue, the right patch is green,
    and a wrong prediction is red.

    Args:
        layers: ``(N, h, w)``.
        size: sides of a patch in the layer.
        corners: first pixel of each patch in the layer.
        rows: the predictions, one row each.
    """
    columns = len(layers)
    figure, grid = picture_grid(len(rows), columns, (2.0 * max(columns, 2), 0.7 + 2.2 * len(rows)), dpi=100)
    for line, row in zip(grid, rows, strict=True):
        for axes, layer, found in zip(line, layers, row.found, strict=True):
            show_slice(axes, layer)
            for number in row.known:
                frame_pixels(axes, corners[number], size, _KNOWN, 0.5)
            frame_pixels(axes, corners[row.right], size, _RIGHT, 2.0)
            correct = found == row.right
            if not correct:
                frame_pixels(axes, corners[found], size, _WRONG, 2.0)
            rows_ahead = f"{row.ahead} row{'s' * (row.ahead > 1)} ahead"
            axes.set_title(
                f"{rows_ahead}: {'found' if correct else 'another'}", fontsize=8, color=_RIGHT if correct else _WRONG
            )
    return figure


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
        framed = [(per_side**dims // 2, _MIDDLE), (reference[column], _RIGHT)] + [(predicted[column], _WRONG)] * (
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


def restoration_gallery(shown: np.ndarray, restored: np.ndarray, wanted: np.ndarray, captions: Sequence[str]) -> Figure:
    """A column for each slice, with three rows: the slice that the network sees, its restoration, and the original. The
    three share their grey levels.

    Args:
        shown, restored, wanted: ``(N, i, j)``.
        captions: one for each slice.
    """
    return _gallery({"input": shown, "restored": restored, "as it was": wanted}, "as it was", captions)


def restored_stack_figure(image: np.ndarray, restored: np.ndarray, title: str) -> Figure:
    """Slices of a volume above their restorations. If there are many slices, the picture shows an evenly spaced
    selection.

    Args:
        image, restored: ``(i, j, slices)``.
    """
    slices = evenly_spaced(image.shape[-1], _MOST)
    rows = {
        name: np.moveaxis(volume[..., slices], -1, 0) for name, volume in (("as it is", image), ("restored", restored))
    }
    figure = _gallery(rows, "as it is", [f"slice {number}" for number in slices])
    figure.suptitle(title, fontsize=8)
    return figure


def _gallery(rows: dict[str, np.ndarray], levels: str, captions: Sequence[str]) -> Figure:
    """Draw a column for each slice. The row ``levels`` determines the grey levels, because hidden pixels and predictions
    would distort them.
    """

    def shows(images: np.ndarray) -> Draw:
        return lambda axes, column: axes.images[0].set_data(images[column].T)

    return comparison_figure(rows[levels], captions, [(name, shows(images)) for name, images in rows.items()])


def order_accuracy_figure(
    pairs: Mapping[str, np.ndarray], table: Mapping[str, Sequence[Any]], scores: Mapping[str, Any], title: str = ""
) -> Figure:
    """Order accuracy by the locations of both slices on the left, and by their distance on the right.

    If a network cannot distinguish the two halves of a stack, the left picture is pale along the descending diagonal.

    Args:
        pairs, table, scores: outputs of ``pairs_of_stack``, ``accuracy_by_distance`` and ``order_scores`` in
            `planewise.metrics.slice_order`.
        title: title of the picture.
    """
    figure, ((by_place, by_distance),) = picture_grid(1, 2, (8.6, 3.9), dpi=120)
    edges = np.linspace(0, 1, _CELLS + 1)
    places = (pairs["first"], pairs["second"])
    counts, _, _ = np.histogram2d(*places, bins=(edges, edges))
    right, _, _ = np.histogram2d(*places, bins=(edges, edges), weights=pairs["correct"].astype(float))
    share = np.divide(right, counts, out=np.full_like(right, np.nan), where=counts > 0)
    shown = by_place.imshow(share.T, origin="lower", extent=(0, 1, 0, 1), vmin=0, vmax=1, cmap="RdBu")
    by_place.set_facecolor("0.85")  # cells without pairs
    by_place.set(xlabel="location of the first slice", ylabel="location of the second slice")
    figure.colorbar(shown, ax=by_place, label="share in the right order")
    for kind, name, colour, style in _KINDS:
        rows = [row for row, which in enumerate(table["mirrored"]) if which == kind]
        middle = [(table["distance_from"][row] + table["distance_to"][row]) / 2 for row in rows]
        by_distance.plot(middle, [table["accuracy"][row] for row in rows], style, color=colour, label=name)
    by_distance.axhline(scores["chance"], color="0.6", lw=1, ls=":", label="chance")
    by_distance.set(
        xlabel="distance between the slices, share of the stack", ylabel="order accuracy", xlim=(0, 1), ylim=(0, 1.03)
    )
    by_distance.legend(frameon=False, loc="lower right")
    figure.suptitle(f"{title}  order accuracy: {scores['accuracy']:.3f} ({scores['pairs']} pairs)".strip(), fontsize=10)
    return figure


def neighbour_gallery(
    images: Sequence[Sequence[np.ndarray]], captions: Sequence[Sequence[str]], title: str = ""
) -> Figure:
    """A row for each slice: the slice, then its nearest neighbours.

    Args:
        images: rows of slices ``(i, j)``, the query first.
        captions: caption of each slice.
        title: title of the picture.
    """
    columns = len(images[0])
    figure, grid = picture_grid(len(images), columns, (1.9 * columns, 2.15 * len(images) + 0.6))
    for line, row, texts in zip(grid, images, captions, strict=True):
        for axes, image, text in zip(line, row, texts, strict=True):
            show_slice(axes, image)
            axes.set_title(text, fontsize=8)
    for axes, name in zip(grid[0], ("slice", "nearest, of other exams"), strict=False):
        axes.text(0, 1.18, name, transform=axes.transAxes, fontsize=9, fontweight="bold")
    figure.suptitle(title, fontsize=10)
    return figure
