"""Pictures of grading: the confusion matrix, and photographs next to their saliency maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from planewise.reports.classification_figures import draw_confusion
from planewise.reports.slices import picture_grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Minimum saliency to draw.
_VISIBLE = 0.15
#: Number of photographs in a row of a picture.
_COLUMNS = 4


class Graded(NamedTuple):
    """A photograph with its grade."""

    caption: str
    image: np.ndarray
    """``(3, i, j)``, 0 to 1"""
    saliency: np.ndarray
    """``(i, j)``, 0 to 1"""


def confusion_figure(scores: Mapping[str, Any], names: Sequence[str], title: str = "") -> Figure:
    """How often each grade was predicted, by true grade.

    Args:
        scores: output of `planewise.metrics.grade_scores`.
        names: names of the grades.
        title: title of the picture.
    """
    figure, ((axes,),) = picture_grid(1, 1, (5.4, 5.0))
    draw_confusion(axes, np.array(scores["confusion"]), names, shares=True)
    axes.tick_params(axis="x", rotation=30)
    kappa = "not defined" if scores["kappa"] is None else f"{scores['kappa']:.3f}"
    summary = f"{scores['photographs']} photographs, kappa {kappa}, accuracy {scores['accuracy']:.2f}"
    axes.set_title(f"{title}\n{summary}".strip())
    return figure


def photographs_figure(photographs: Sequence[Graded], title: str = "") -> Figure:
    """Photographs, each next to a copy with the decisive regions marked. A title says so if no region raises the grade.

    Args:
        photographs: at least one.
        title: title of the picture.
    """
    columns = min(_COLUMNS, len(photographs))
    rows = -(-len(photographs) // columns)
    figure, grid = picture_grid(rows, 2 * columns, (3.6 * columns + 0.2, 2.2 * rows + 0.4))
    for axes in grid.flat:
        axes.set_axis_off()
    for number, photograph in enumerate(photographs):
        row, column = divmod(number, columns)
        plain, marked = grid[row, 2 * column], grid[row, 2 * column + 1]
        # rows of a picture run along j
        colours, strength = photograph.image.transpose(2, 1, 0).clip(0, 1), photograph.saliency.T
        for axes in (plain, marked):
            axes.imshow(colours)
        marked.imshow(strength, cmap="viridis", vmin=0, vmax=1, alpha=np.where(strength > _VISIBLE, 0.55, 0.0))
        plain.set_title(photograph.caption, fontsize=8, loc="left")
        if not photograph.saliency.any():
            marked.set_title("no region raises\nthe grade", fontsize=8, loc="left")
    figure.suptitle(title, fontsize=9)
    return figure
