"""Cut patches from the cells of a grid in images and volumes, for jigsaw puzzles and relative patch location."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from planewise.errors import InputError


def refuse_small(shape: Sequence[int], sides: Sequence[int], grid: str, remedy: str) -> None:
    """Raise `InputError` if the pieces of an image of this shape would have fewer than two pixels a side."""
    if min(sides) < 2:
        size = " x ".join(str(int(side)) for side in shape)
        raise InputError(
            f"an image of {size} pixels is too small for {grid}: the side of a piece would be {max(min(sides), 0)} pixels; "
            f"{remedy}"
        )


def cell_sides(shape: Sequence[int], per_side: int) -> tuple[int, ...]:
    """A cell's side along each axis, for an image of this shape, in whole pixels. Remaining pixels stay at the edges."""
    return tuple(int(side) // per_side for side in shape)


def patch_corners(shape: Sequence[int], per_side: int, patch: Sequence[int], places: Tensor, draws: Tensor) -> Tensor:
    """The first pixel of each patch, which has a random position in its cell.

    Args:
        shape: shape of the image, d sides.
        per_side: number of cells along each axis.
        patch: length of a patch along each of the d axes; at most the length of a cell (`cell_sides`).
        places: numbers of cells, ``(..., P)`` int64; the last axis of the grid runs fastest.
        draws: random numbers in [0, 1), ``(..., P, d)``, for the position of each patch in its cell.

    Returns:
        ``(..., P, d)`` int64.
    """
    cells = cell_sides(shape, per_side)
    # the remaining pixels are divided between both edges
    margins = [(int(side) - per_side * cell) // 2 for side, cell in zip(shape, cells, strict=True)]
    rows = torch.stack(torch.unravel_index(places, [per_side] * len(cells)), dim=-1)
    free = torch.tensor([cell - side + 1 for cell, side in zip(cells, patch, strict=True)])
    return torch.tensor(margins) + rows * torch.tensor(cells) + (draws * free).long()


def cut_patches(image: Tensor, corners: Tensor, patch: Sequence[int]) -> Tensor:
    """Cut patches, which may overlap, out of every image.

    Args:
        image: ``(B, C, *spatial)``.
        corners: first pixel of each patch, ``(B, P, d)`` int64, on the image's device.
        patch: length of a patch along each of the d axes.

    Returns:
        ``(B, P, C, *patch)``.
    """
    windows = image
    for axis, side in enumerate(patch):
        windows = windows.unfold(2 + axis, side, 1)
    # a view of the patches at all possible positions; only the selected patches are copied
    windows = windows.movedim(1, 1 + len(patch))
    rows = torch.arange(len(image), device=image.device)[:, None]
    places = (rows, *corners.unbind(-1))
    return windows[places]
