"""Pictures of segmentations beside the reference (Zhang 2024 Fig. 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from planewise.reports.pretext_figures import show_slice

#: Fig. 7's colours: right ventricle red, myocardium green, left ventricle blue.
STRUCTURE_COLOURS = {1: "#d62728", 2: "#2ca02c", 3: "#1f77b4", 4: "#9467bd", 5: "#ff7f0e"}


def overlay_labels(axes, labels: np.ndarray, alpha: float = 0.5) -> None:
    """Label values ``(i, j)`` over a slice, background clear."""
    layer = np.zeros((*labels.T.shape, 4))
    for value, colour in STRUCTURE_COLOURS.items():
        layer[value == labels.T] = (*to_rgb(colour), alpha)
    axes.imshow(layer, interpolation="nearest")


def segmentation_gallery(
    images: Sequence[np.ndarray],
    predicted: Sequence[np.ndarray],
    reference: Sequence[np.ndarray],
    captions: Sequence[str],
    structures: Mapping[int, str],
) -> Figure:
    """Rows: slice, reference, prediction; a column for each slice. Slices ``(i, j)`` may differ in size."""
    count = len(images)
    figure = Figure(figsize=(2.2 * max(count, 2), 7.2), layout="constrained")
    grid = figure.subplots(3, count, squeeze=False)
    for column in range(count):
        for row, labels in enumerate((None, reference[column], predicted[column])):
            show_slice(grid[row, column], images[column])
            if labels is not None:
                overlay_labels(grid[row, column], labels)
        grid[0, column].set_title(captions[column], fontsize=8)
    for row, text in enumerate(("slice", "reference", "predicted")):
        grid[row, 0].text(-0.08, 0.5, text, rotation=90, va="center", ha="right", transform=grid[row, 0].transAxes)
    handles = [Patch(color=STRUCTURE_COLOURS[value], label=name) for value, name in structures.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure
