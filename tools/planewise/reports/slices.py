"""Draw slices next to each other, as in every picture of a stack, and labels over them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

# matplotlib is imported only for drawing, because a MONAI Label server predicts without it and may lack it
if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

#: PNG options for ``savefig(pil_kwargs=...)``: half the time of the usual compression level, and no larger files.
_QUICK_PNG = {"compress_level": 3}

#: Fig. 7's colours: right ventricle red, myocardium green, left ventricle blue. Labels above the last reuse the
#: colours.
STRUCTURE_COLOURS = {1: "#d62728", 2: "#2ca02c", 3: "#1f77b4", 4: "#9467bd", 5: "#ff7f0e"}
_COLOURS = tuple(STRUCTURE_COLOURS.values())
#: A function that takes axes and the number of a slice, and draws on these axes.
Draw = Callable[["Axes", int], None]


def save_picture(file: Path, draw: Callable[[], Figure], dpi: float | Literal["figure"] = 110) -> None:
    """Draw a picture and write it as a PNG file, with ``"figure"`` at the figure's own resolution. An error becomes a
    warning, and the run continues: a MONAI Label server may have no matplotlib."""
    try:
        draw().savefig(file, dpi=dpi, pil_kwargs=_QUICK_PNG)
    except Exception as error:
        logger.warning("%s is not drawn: %s", file.name, error)


def picture_grid(
    rows: int, columns: int, size: tuple[float, float], dpi: float | None = None
) -> tuple[Figure, NDArray[Any]]:
    """A new figure of this size, in inches, and its axes, ``(rows, columns)``."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained", dpi=dpi)
    return figure, figure.subplots(rows, columns, squeeze=False)


def show_slice(axes: Axes, image: np.ndarray) -> None:
    """Show a slice ``(i, j)`` as a reader sees it: i runs to the right, j down, and the darkest and brightest half
    percent of the pixels are clipped.
    """
    low, high = np.percentile(image, (0.5, 99.5))
    axes.imshow(image.T, cmap="gray", vmin=low, vmax=max(high, low + 1e-6))
    axes.set_axis_off()


def name_row(axes: Axes, name: str, away: float = 0.08, **style: Any) -> None:
    """Write the name of a row along the left side of its first picture."""
    axes.text(-away, 0.5, name, rotation=90, va="center", ha="right", transform=axes.transAxes, **style)


def add_legend(figure: Figure, names: Sequence[str], colours: Sequence[str]) -> None:
    """Add a legend of names below the picture, each with its colour; further names reuse the colours."""
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=colour, edgecolor="0.6", label=name)
        for name, colour in zip(names, cycle(colours), strict=False)
    ]
    columns = min(len(handles), 5, max(2, int(figure.get_figwidth() / 1.15)))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)


def stack_figure(
    image: np.ndarray, draw: Draw, title: str, legend: tuple[Sequence[str], Sequence[str]], numbers: Sequence[int] = ()
) -> Figure:
    """The slices of a volume ``(i, j, slices)`` in reading order, each with its number, counted from 1 if ``numbers`` are
    not given; ``draw`` adds to each, and may replace this title. The legend has names and their colours."""
    count = image.shape[-1]
    columns = min(count, 6)
    rows = -(-count // columns)
    figure, grid = picture_grid(rows, columns, (2.3 * columns, 2.45 * rows + 0.9))
    for index, axes in enumerate(grid.ravel()):
        axes.set_axis_off()
        if index < count:
            show_slice(axes, image[..., index])
            axes.set_title(f"slice {numbers[index] if numbers else index + 1}", fontsize=8)
            draw(axes, index)
    # about 13 letters fit an inch
    lines = [part for line in title.split("\n") for part in wrap(line, int(13 * figure.get_figwidth()))]
    figure.suptitle("\n".join(lines), fontsize=10)
    add_legend(figure, *legend)
    return figure


def prediction_figure(
    images: Sequence[np.ndarray],
    predicted: Sequence[np.ndarray],
    reference: Sequence[np.ndarray],
    captions: Sequence[str],
    overlay: Callable[[Axes, np.ndarray], None],
    names: Sequence[str],
    colours: Sequence[str],
    truth: str = "from the headers",
) -> Figure:
    """Rows: slice, reference (named ``truth``), prediction; a column for each slice (Zhang 2024 Figs. 4 and 7).

    Args:
        images: slices ``(i, j)``, which may differ in size.
        predicted, reference: what ``overlay`` draws over each slice.
        captions: one per slice.
        overlay: a function that draws over axes.
        names, colours: the legend.
        truth: name of the second row.
    """
    count = len(images)
    figure, grid = picture_grid(3, count, (2.2 * max(count, 2), 7.2))
    rows = (("slice", None), (truth, reference), ("predicted", predicted))
    for (name, drawn), line in zip(rows, grid, strict=True):
        for column, axes in enumerate(line):
            show_slice(axes, images[column])
            if drawn is not None:
                overlay(axes, drawn[column])
        name_row(line[0], name)
    for axes, caption in zip(grid[0], captions, strict=True):
        axes.set_title(caption, fontsize=8)
    add_legend(figure, names, colours)
    return figure


def structure_colour(value: int) -> str:
    """The colour of a label; labels start at 1."""
    return STRUCTURE_COLOURS[(value - 1) % len(STRUCTURE_COLOURS) + 1]


def overlay_labels(axes, labels: np.ndarray, colours: Sequence[str] = _COLOURS, opacity: float = 0.5) -> None:
    """Draw label values ``(i, j)`` over a slice; the background, values of 0 or below, is transparent."""
    from matplotlib.colors import to_rgb

    layer = np.zeros((*labels.T.shape, 4))
    for value in np.unique(labels[labels > 0]):
        layer[value == labels.T] = (*to_rgb(colours[(int(value) - 1) % len(colours)]), opacity)
    axes.imshow(layer, interpolation="nearest")
