"""Pictures of anatomical positions: coloured squares over slices (Bai 2019 Fig. 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from planewise.reports.segmentation_figures import overlay_labels
from planewise.reports.slices import prediction_figure, stack_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: One colour per square, in the order of the classes 1 to 9; on each side, the near square is a dark shade of a hue and
#: the far square a light one.
SQUARE_COLOURS = (
    "#ffffff", "#1f77b4", "#7fc4f5", "#d62728", "#ff9d9d", "#2ca02c", "#98ee98", "#ff7f0e", "#ffd08a",
)  # fmt: skip


def overlay_squares(axes: Axes, labels: np.ndarray) -> None:
    """Draw classes ``(i, j)`` over a slice, each square in its colour; values of 0 or below are transparent."""
    overlay_labels(axes, labels, SQUARE_COLOURS, 0.7)


def position_gallery(
    images: np.ndarray, predicted: np.ndarray, reference: np.ndarray, captions: Sequence[str], names: Sequence[str]
) -> Figure:
    """Rows: slice, truth, prediction; a column for each slice.

    Args:
        images: ``(slices, i, j)``.
        predicted, reference: classes ``(slices, i, j)``, whole numbers, see `planewise.geometry.square_labels`.
        captions: one per slice.
        names: names of the nine squares, for the legend.
    """
    figure = prediction_figure(images, predicted, reference, captions, overlay_squares)
    _add_legend(figure, names)
    return figure


def stack_positions_figure(image: np.ndarray, labels: np.ndarray, names: Sequence[str], title: str) -> Figure:
    """The slices of a stack ``(i, j, slices)`` with the predicted squares ``(i, j, slices)``."""
    figure = stack_figure(image, lambda axes, number: overlay_squares(axes, labels[..., number]), title)
    _add_legend(figure, names)
    return figure


def _add_legend(figure: Figure, names: Sequence[str]) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=colour, edgecolor="0.6", label=name) for colour, name in zip(SQUARE_COLOURS, names, strict=True)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False)
