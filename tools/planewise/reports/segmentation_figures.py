"""Pictures of segmentations next to the reference (Zhang 2024 Fig. 7), and the file of slices, labels and predictions from
which such pictures compare methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from monai.transforms.utils import generate_spatial_bounding_box

from planewise.reports.slices import name_row, picture_grid, prediction_figure, show_slice

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The file's name in a run's results folder.
SHOWN_SLICES = "shown_slices.npz"


#: Maximum number of slices in a comparison, and minimum number of labelled pixels of a slice in it.
_MOST_SLICES, _FEWEST_PIXELS = 6, 12
#: Margin (pixels) around the outlined part of a cropped slice.
_MARGIN = 16
#: Fig. 7's colours: right ventricle red, myocardium green, left ventricle blue. Labels above the last reuse the
#: colours.
STRUCTURE_COLOURS = {1: "#d62728", 2: "#2ca02c", 3: "#1f77b4", 4: "#9467bd", 5: "#ff7f0e"}
_COLOURS = tuple(STRUCTURE_COLOURS.values())


@dataclass(frozen=True)
class ShownSlice:
    """A slice ``(i, j)``: its image, the reference labels, and the predicted labels."""

    image: np.ndarray
    reference: np.ndarray
    prediction: np.ndarray


def hard_slices(reference: np.ndarray) -> list[int]:
    """The hard slices of a labelled volume ``(i, j, slices)``: the first and the last with a label.

    At the base and the apex, structures end, are cut obliquely or are small. The choice depends only on the reference,
    so it is the same for every method. The list is empty if the volume has no labels.
    """
    labelled = np.flatnonzero(reference.any(axis=(0, 1)))
    return sorted({int(labelled[0]), int(labelled[-1])}) if len(labelled) else []


def write_shown_slices(path: Path, slices: Mapping[str, ShownSlice]) -> None:
    """Write slices under their captions; images as float32, labels as bytes."""
    arrays: dict[str, np.ndarray] = {"captions": np.array(list(slices))}
    for number, shown in enumerate(slices.values()):
        arrays[f"image{number}"] = shown.image.astype(np.float32)
        arrays[f"reference{number}"] = shown.reference.astype(np.uint8)
        arrays[f"prediction{number}"] = shown.prediction.astype(np.uint8)
    np.savez_compressed(path, **arrays)


def read_shown_slices(path: Path) -> dict[str, ShownSlice]:
    """Read what `write_shown_slices` wrote; empty if there is no file."""
    if not path.is_file():
        return {}
    with np.load(path) as file:
        return {
            str(caption): ShownSlice(file[f"image{number}"], file[f"reference{number}"], file[f"prediction{number}"])
            for number, caption in enumerate(file["captions"])
        }


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


def add_structure_legend(figure: Figure, structures: Mapping[int, str]) -> None:
    """Add a legend with the structures' colours below the picture."""
    from matplotlib.patches import Patch

    handles = [Patch(color=structure_colour(value), label=name) for value, name in structures.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)


def segmentation_gallery(
    images: Sequence[np.ndarray],
    predicted: Sequence[np.ndarray],
    reference: Sequence[np.ndarray],
    captions: Sequence[str],
    structures: Mapping[int, str],
) -> Figure:
    """Rows: slice, reference, prediction; a column for each slice. Slices ``(i, j)`` may differ in size."""
    figure = prediction_figure(images, predicted, reference, captions, overlay_labels, "reference")
    add_structure_legend(figure, structures)
    return figure


def method_comparison(slices: Mapping[str, Mapping[str, ShownSlice]], structures: Mapping[int, str]) -> Figure:
    """Compare methods in the form of Zhang 2024 Fig. 7: a row for each slice, a column for each method, and the reference
    last. Each slice is cropped to the square around all outlines of the reference and the methods.

    Args:
        slices: for each method, a mapping from captions to slices. The picture shows the first slices that all methods
            have, in the first method's order. Slices with only a few labelled pixels are left out if others remain.
        structures: label value to name.
    """
    first = next(iter(slices.values()))
    shared = [caption for caption in first if all(caption in shown for shown in slices.values())]
    large = [caption for caption in shared if np.count_nonzero(first[caption].reference) >= _FEWEST_PIXELS]
    captions = (large or shared)[:_MOST_SLICES]
    names = [*slices, "reference"]
    rows = max(len(captions), 1)
    figure, grid = picture_grid(rows, len(names), (2.2 * len(names), 2.2 * rows + 0.5))
    for line, caption in zip(grid, captions, strict=False):
        labels = [*(shown[caption].prediction for shown in slices.values()), first[caption].reference]
        square = _square_of(labels)
        for axes, label in zip(line, labels, strict=True):
            show_slice(axes, first[caption].image[square])
            overlay_labels(axes, label[square])
        name_row(line[0], caption, fontsize=8)
    for axes, name in zip(grid[0], names, strict=True):
        axes.set_title(name, fontsize=9)
    add_structure_legend(figure, structures)
    return figure


def _square_of(labels: Sequence[np.ndarray]) -> tuple[slice, slice]:
    """The square of a slice that contains all outlines of its label maps ``(i, j)`` and a margin, limited to the slice;
    the whole slice if nothing is outlined."""
    outlined = np.stack(labels) > 0
    if not outlined.any():
        return slice(None), slice(None)
    start, end = generate_spatial_bounding_box(outlined, margin=_MARGIN, allow_smaller=True)
    side = max(np.subtract(end, start))
    cut = []
    for first, last, size in zip(start, end, outlined.shape[1:], strict=True):
        low = min(max((first + last - side) // 2, 0), max(size - side, 0))
        cut.append(slice(int(low), int(min(low + side, size))))
    return cut[0], cut[1]
