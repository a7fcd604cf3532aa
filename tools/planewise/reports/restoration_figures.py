"""Pictures of restored images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from planewise.preprocessing.limit_slices import evenly_spaced
from planewise.reports.slices import Draw, comparison_figure

#: Number of slices of a stack in one picture.
_MOST = 10

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def restoration_gallery(
    shown: np.ndarray, restored: np.ndarray, wanted: np.ndarray, captions: Sequence[str], first: str = "input"
) -> Figure:
    """A column for each slice, with three rows: the slice that the network sees, its restoration, and the original. The
    three share their grey levels.

    Args:
        shown, restored, wanted: ``(N, i, j)``.
        captions: one for each slice.
        first: name of the first row.
    """
    return _gallery({first: shown, "restored": restored, "as it was": wanted}, "as it was", captions)


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
