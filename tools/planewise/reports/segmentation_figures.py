"""Labels over slices, each in its colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    pass

#: Fig. 7's colours: right ventricle red, myocardium green, left ventricle blue. Labels above the last reuse the
#: colours.
STRUCTURE_COLOURS = {1: "#d62728", 2: "#2ca02c", 3: "#1f77b4", 4: "#9467bd", 5: "#ff7f0e"}
_COLOURS = tuple(STRUCTURE_COLOURS.values())


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
