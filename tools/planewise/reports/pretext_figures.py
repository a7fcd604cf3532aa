"""Pictures of the pretexts: heatmaps next to the truth (Zhang 2024 Fig. 4), location regression (Fig. 6), and positions (Bai
2019 Fig. 1)."""

from __future__ import annotations

from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from planewise.reports.slices import overlay_labels, picture_grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: One colour per view, the same in every picture; further views reuse the colours.
VIEW_COLOURS = ("#ff7f0e", "#17becf", "#e377c2", "#bcbd22", "#2ca02c", "#d62728", "#9467bd", "#1f77b4")
#: One colour per square, in the order of the classes 1 to 9; on each side, the near square is a dark shade of a hue and
#: the far square a light one.
SQUARE_COLOURS = (
    "#ffffff", "#1f77b4", "#7fc4f5", "#d62728", "#ff9d9d", "#2ca02c", "#98ee98", "#ff7f0e", "#ffd08a",
)  # fmt: skip
#: Draws classes ``(i, j)`` over a slice, each square in its colour; values of 0 or below are transparent.
overlay_squares = partial(overlay_labels, colours=SQUARE_COLOURS, opacity=0.7)


def overlay_heatmaps(axes, heatmaps: np.ndarray) -> None:
    """Draw heatmaps ``(views, i, j)`` over a slice, each in its view's colour, transparent at zero."""
    from matplotlib.colors import to_rgb

    for heatmap, colour in zip(np.nan_to_num(heatmaps), cycle(VIEW_COLOURS), strict=False):
        layer = np.zeros((*heatmap.T.shape, 4))
        layer[..., :3] = to_rgb(colour)
        layer[..., 3] = 0.75 * np.clip(heatmap.T, 0, 1)
        axes.imshow(layer)


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
