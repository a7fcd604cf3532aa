"""Pictures of the pretexts: heatmaps next to the truth (Zhang 2024 Fig. 4), location regression (Fig. 6), positions (Bai 2019
Fig. 1), examples of chosen classes, and restored images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from planewise.preprocessing.limit_slices import evenly_spaced
from planewise.reports.segmentation_figures import overlay_labels
from planewise.reports.slices import Draw, comparison_figure, picture_grid, prediction_figure, show_slice, stack_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: One colour per view, the same in every picture; further views reuse the colours.
VIEW_COLOURS = ("#ff7f0e", "#17becf", "#e377c2", "#bcbd22", "#2ca02c", "#d62728", "#9467bd", "#1f77b4")
#: One colour per square, in the order of the classes 1 to 9; on each side, the near square is a dark shade of a hue and
#: the far square a light one.
SQUARE_COLOURS = (
    "#ffffff", "#1f77b4", "#7fc4f5", "#d62728", "#ff9d9d", "#2ca02c", "#98ee98", "#ff7f0e", "#ffd08a",
)  # fmt: skip
#: Number of slices of a stack in one picture of restorations.
_MOST = 10


def overlay_heatmaps(axes, heatmaps: np.ndarray) -> None:
    """Draw heatmaps ``(views, i, j)`` over a slice, each in its view's colour, transparent at zero."""
    from matplotlib.colors import to_rgb

    for heatmap, colour in zip(np.nan_to_num(heatmaps), cycle(VIEW_COLOURS), strict=False):
        layer = np.zeros((*heatmap.T.shape, 4))
        layer[..., :3] = to_rgb(colour)
        layer[..., 3] = 0.75 * np.clip(heatmap.T, 0, 1)
        axes.imshow(layer)


def add_view_legend(figure: Figure, views: Sequence[str]) -> None:
    """Add a legend with the views' colours below the picture."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=colour, lw=3) for _, colour in zip(views, cycle(VIEW_COLOURS), strict=False)]
    figure.legend(handles, views, loc="outside lower center", ncols=len(views), frameon=False)


def heatmap_gallery(
    images: np.ndarray,
    predicted: np.ndarray,
    reference: np.ndarray,
    captions: Sequence[str],
    views: Sequence[str],
) -> Figure:
    """Rows: slice, truth, prediction; a column for each slice (Zhang 2024 Fig. 4).

    Args:
        images: ``(slices, i, j)``.
        predicted, reference: heatmaps ``(slices, views, i, j)``.
        captions: one per slice.
        views: names of the channels, for the legend.
    """
    figure = prediction_figure(images, predicted, reference, captions, overlay_heatmaps)
    add_view_legend(figure, views)
    return figure


def regression_plot(predicted: np.ndarray, reference: np.ndarray, scores: dict[str, float], title: str = "") -> Figure:
    """Predicted against true relative location, with the regression line (Zhang 2024 Fig. 6).

    Args:
        predicted, reference: one value per slice.
        scores: output of `planewise.metrics.location_scores`.
        title: title of the picture.
    """
    figure, ((axes,),) = picture_grid(1, 1, (4.6, 4.4), dpi=120)
    axes.plot(reference, predicted, ".", ms=3, alpha=0.35, color="#1f77b4")
    span = np.array([0.0, 1.0])
    axes.plot(span, span, ":", color="0.6", lw=1, label="identity")
    sign = "+" if scores["intercept"] >= 0 else "-"
    equation = f"y = {scores['slope']:.3f} x {sign} {abs(scores['intercept']):.3f}"
    axes.plot(span, scores["slope"] * span + scores["intercept"], color="#d62728", lw=1.5, label=equation)
    axes.set(xlabel="relative location from the headers", ylabel="predicted", xlim=(-0.05, 1.05), ylim=(-0.25, 1.25))
    axes.set_title(f"{title}  r = {scores['pearson_r']:.3f}, $R^2$ = {scores['r2']:.3f}".strip(), fontsize=10)
    axes.legend(frameon=False, loc="upper left")
    return figure


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
    _add_square_legend(figure, names)
    return figure


def stack_positions_figure(image: np.ndarray, labels: np.ndarray, names: Sequence[str], title: str) -> Figure:
    """The slices of a stack ``(i, j, slices)`` with the predicted squares ``(i, j, slices)``."""
    figure = stack_figure(image, lambda axes, number: overlay_squares(axes, labels[..., number]), title)
    _add_square_legend(figure, names)
    return figure


def _add_square_legend(figure: Figure, names: Sequence[str]) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=colour, edgecolor="0.6", label=name) for colour, name in zip(SQUARE_COLOURS, names, strict=True)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False)


def examples_gallery(images: np.ndarray, captions: Sequence[str], title: str = "") -> Figure:
    """A column for each example, and a row for each of its channels.

    Args:
        images: ``(N, C, i, j)``.
        captions: one for each example.
        title: title of the picture.
    """
    columns, rows = images.shape[:2]
    figure, grid = picture_grid(rows, columns, (2.0 * max(columns, 2), 0.9 + 2.0 * rows), dpi=100)
    for column, caption in enumerate(captions):
        for row in range(rows):
            show_slice(grid[row][column], images[column, row])
        grid[0][column].set_title(caption, fontsize=8)
    figure.suptitle(title)
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
