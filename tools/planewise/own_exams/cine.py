"""All phases of a stack as a cine: its slices side by side, with the outlines of the structures."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image
from skimage.measure import find_contours
from skimage.util import montage

from planewise.reports.segmentation_figures import structure_colour

#: Margin around the structures, mm.
_MARGIN = 20.0
#: JPEG quality of the pictures in Pillow; a file is about a tenth as large as a PNG.
_JPEG = 80


def cine_of(
    phases: Sequence[tuple[str, np.ndarray, np.ndarray]], spacing: Sequence[float], structures: Mapping[int, str]
) -> dict[str, Any] | None:
    """Prepare the phases of a stack for playback on an exam's page.

    Args:
        phases: name, image and label map of each phase; all images and label maps have the same shape, ``(i, j, slices)``.
        spacing: pixel spacing along i and j, mm.
        structures: label value to name.

    Returns:
        ``width`` and ``height`` of a picture in mm; ``tile``, the width and height of one slice in it, mm; ``columns`` and
        ``slices``, the numbers of slices in a row and in total; and ``frames``: for each phase its ``name``, its
        ``picture`` as a JPEG (base64), and ``outlines``, each with a ``colour`` and a ``path`` in mm. None if there are
        fewer than two phases, if no phase shows a structure, or if the phases differ in shape.
    """
    shapes = {image.shape for _, image, _ in phases} | {labels.shape for _, _, labels in phases}
    known = np.any(
        [np.isin(labels, list(structures)).any(axis=2) for _, _, labels in phases if len(shapes) == 1], axis=0
    )
    if len(phases) < 2 or len(shapes) > 1 or not known.any():
        return None
    part = tuple(
        slice(max(int(axis.min() - _MARGIN / step), 0), int(axis.max() + _MARGIN / step) + 1)
        for axis, step in zip(np.nonzero(known), spacing, strict=True)
    )
    # one window of grey levels for all phases, so that blood does not flicker
    low, high = np.percentile([image[part] for _, image, _ in phases], (0.5, 99.5))
    frames = []
    for name, image, labels in phases:
        levels = (np.clip((image[part] - low) / max(high - low, 1e-6), 0, 1) * 255).round().astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(_side_by_side(levels).T).save(file, "JPEG", quality=_JPEG)
        shown = _side_by_side(labels[part])
        outlines = [
            {"colour": structure_colour(value), "path": "".join(_paths(shown == value, spacing))}
            for value in structures
        ]
        frames.append({"name": name, "picture": base64.b64encode(file.getvalue()).decode(), "outlines": outlines})
    width, height = (size * step for size, step in zip(shown.shape, spacing, strict=True))
    return {
        "width": round(width, 1),
        "height": round(height, 1),
        "tile": [round(size * step, 1) for size, step in zip(levels.shape, spacing, strict=False)],
        "columns": _columns(levels.shape[2]),
        "slices": levels.shape[2],
        "frames": frames,
    }


def _side_by_side(stack: np.ndarray) -> np.ndarray:
    """One picture of slices ``(i, j, slices)`` arranged in rows; the picture is wider than high."""
    columns = _columns(stack.shape[2])
    return montage(stack.T, fill=0, grid_shape=(math.ceil(stack.shape[2] / columns), columns)).T


def _columns(count: int) -> int:
    return math.ceil(math.sqrt(1.6 * count))


def _paths(mask: np.ndarray, spacing: Sequence[float]) -> Iterator[str]:
    """Outlines of a mask as SVG paths, mm from the picture's corner."""
    for line in find_contours(np.pad(mask, 1).astype(float), 0.5):
        # subtract the border of one pixel, and add half a pixel from the corner to the first pixel's centre
        points = (line - 0.5) * spacing
        yield "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
