"""Pictures of slice ordering: order accuracy by location and distance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from planewise.reports.slices import picture_grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Number of cells of the map along each axis.
_CELLS = 10
_KINDS = ((0, "other pairs", "#1f77b4", "o-"), (1, "mirrored about the centre", "#d62728", "s-"))


def order_accuracy_figure(
    pairs: Mapping[str, np.ndarray], table: Mapping[str, Sequence[Any]], scores: Mapping[str, Any], title: str = ""
) -> Figure:
    """Order accuracy by the locations of both slices on the left, and by their distance on the right.

    If a network cannot distinguish the two halves of a stack, the left picture is pale along the descending diagonal.

    Args:
        pairs, table, scores: outputs of ``pairs_of_stack``, ``accuracy_by_distance`` and ``order_scores`` in
            `planewise.metrics.slice_order`.
        title: title of the picture.
    """
    figure, ((by_place, by_distance),) = picture_grid(1, 2, (8.6, 3.9), dpi=120)
    edges = np.linspace(0, 1, _CELLS + 1)
    places = (pairs["first"], pairs["second"])
    counts, _, _ = np.histogram2d(*places, bins=(edges, edges))
    right, _, _ = np.histogram2d(*places, bins=(edges, edges), weights=pairs["correct"].astype(float))
    share = np.divide(right, counts, out=np.full_like(right, np.nan), where=counts > 0)
    shown = by_place.imshow(share.T, origin="lower", extent=(0, 1, 0, 1), vmin=0, vmax=1, cmap="RdBu")
    by_place.set_facecolor("0.85")  # cells without pairs
    by_place.set(xlabel="location of the first slice", ylabel="location of the second slice")
    figure.colorbar(shown, ax=by_place, label="share in the right order")
    for kind, name, colour, style in _KINDS:
        rows = [row for row, which in enumerate(table["mirrored"]) if which == kind]
        middle = [(table["distance_from"][row] + table["distance_to"][row]) / 2 for row in rows]
        by_distance.plot(middle, [table["accuracy"][row] for row in rows], style, color=colour, label=name)
    by_distance.axhline(scores["chance"], color="0.6", lw=1, ls=":", label="chance")
    by_distance.set(
        xlabel="distance between the slices, share of the stack", ylabel="order accuracy", xlim=(0, 1), ylim=(0, 1.03)
    )
    by_distance.legend(frameon=False, loc="lower right")
    figure.suptitle(f"{title}  order accuracy: {scores['accuracy']:.3f} ({scores['pairs']} pairs)".strip(), fontsize=10)
    return figure
