"""Pictures of patches that are predicted from other patches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planewise.reports.slices import frame_pixels, picture_grid, show_slice

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_KNOWN, _RIGHT, _WRONG = "#4c9be8", "#2ca02c", "#d62728"


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
