"""Pictures of slices next to the slices that a network finds most similar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from planewise.reports.slices import picture_grid, show_slice

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    for axes, name in zip(
        figure.axes[:columns], ("slice", *("nearest, of other exams",) * (columns > 1)), strict=False
    ):
        axes.text(0, 1.18, name, transform=axes.transAxes, fontsize=9, fontweight="bold")
    figure.suptitle(title, fontsize=10)
    return figure
