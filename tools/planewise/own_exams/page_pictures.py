"""Flat pictures on an exam's page: planned and acquired long-axis views next to each other, and the cine."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from nibabel.affines import apply_affine
from PIL import Image
from scipy.ndimage import map_coordinates
from skimage.measure import find_contours
from skimage.util import montage

from planewise.reports.segmentation_figures import structure_colour

#: Pixel size of the views, mm.
_SPACING = 0.75
#: The name of a direction contains a body axis if its component along this axis is at least the sine of 22.5 degrees.
_OBLIQUE = 0.38
#: Positions of the letters at a view's edges, as shares of its size: left, right, top, bottom.
_EDGES = ((0.04, 0.5), (0.96, 0.5), (0.5, 0.05), (0.5, 0.95))
#: Margin around the structures in the cine, mm.
_MARGIN = 20.0
#: JPEG quality of the cine in Pillow; a file is about a tenth as large as a PNG.
_JPEG = 80


def grey_window(values: Any) -> tuple[float, float]:
    """Limits of the grey levels: all but the darkest and the brightest half per cent of the values lie between them."""
    low, high = np.percentile(values, (0.5, 99.5)) if np.size(values) else (0.0, 1.0)
    return low, high


def grey_levels(image: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """An image as uint8."""
    low, high = window
    return (np.clip((image - low) / max(high - low, 1e-6), 0, 1) * 255).round().astype(np.uint8)


def direction_letters(direction: Sequence[float]) -> str:
    """The letters that viewers write on the edge of an image for a direction, RAS+: ``"A"``, or ``"AL"`` if it is oblique. R
    and L are the patient's right and left, A and P front and back, H and F head and feet."""
    shares = np.asarray(direction, dtype=float) / max(float(np.linalg.norm(direction)), 1e-12)
    axes = [axis for axis in np.argsort(-abs(shares))[:2] if abs(shares[axis]) > _OBLIQUE]
    return "".join("RAH"[axis] if shares[axis] > 0 else "LPF"[axis] for axis in axes)


def values_at(image: np.ndarray, affine: np.ndarray, points: np.ndarray, **outside: Any) -> np.ndarray:
    """The values of an image ``(i, j, slices)`` with an affine at points ``(..., 3)``, RAS+, mm; further arguments are those
    of `scipy.ndimage.map_coordinates`."""
    voxels = apply_affine(np.linalg.inv(affine), points)
    return map_coordinates(image.astype(np.float32), np.moveaxis(voxels, -1, 0), order=1, **outside)


def square(
    origin: Sequence[float], normal: Sequence[float], middle: np.ndarray, sides: np.ndarray, size: float
) -> tuple[np.ndarray, np.ndarray]:
    """A square of ``size`` mm in a plane, centred on the plane's point nearest to ``middle``, RAS+, mm. Its sides are as
    close to the directions to the right and down, ``sides`` ``(3, 2)``, as the plane allows.

    Returns:
        Points ``(count, count, 3)``, of which the first axis runs to the right, the second down; and the unit vectors of
        these directions, ``(3, 2)``.
    """
    normal = np.asarray(normal, dtype=float) / np.linalg.norm(normal)
    sides = sides / np.linalg.norm(sides, axis=0)
    within = sides - np.outer(normal, normal @ sides)
    lengths = np.linalg.norm(within, axis=0)
    # of the two sides, the one nearer to the plane keeps its direction; the other is perpendicular to it
    kept = int(lengths[1] > lengths[0])
    axes = np.empty((3, 2))
    axes[:, kept] = within[:, kept] / lengths[kept]
    other = np.cross(normal, axes[:, kept])
    axes[:, 1 - kept] = other if other @ sides[:, 1 - kept] >= 0 else -other
    centre = middle - ((middle - np.asarray(origin, dtype=float)) @ normal) * normal
    steps = np.arange(-size / 2, size / 2 + 1e-6, _SPACING)
    return centre + steps[:, None, None] * axes[:, 0] + steps[None, :, None] * axes[:, 1], axes


def view_pictures(
    image: np.ndarray,
    affine: np.ndarray,
    planned: Mapping[str, Mapping[str, Sequence[float]]],
    acquired: Mapping[str, tuple[np.ndarray, np.ndarray]],
    size: float,
) -> list[dict[str, Any]]:
    """Pictures of each view that has an acquired image, in the same directions: the planned plane, if there is one, and the
    image.

    Args:
        image: the short-axis stack, ``(i, j, slices)``.
        affine: its affine, RAS+, mm.
        planned: maps each view to the ``origin`` and ``normal`` of its plane, RAS+, mm.
        acquired: maps each view to the acquired image ``(i, j)`` and its affine.
        size: side of the pictures, mm.

    Returns:
        For each picture its ``caption``; ``png`` (base64); and ``edges``, the position of each edge's letters, mm, and the
        letters.
    """
    middle = apply_affine(affine, (np.array(image.shape) - 1) / 2)
    pictures = []
    for view, (pixels, own) in acquired.items():
        across = np.cross(*own[:3, :2].T)
        if plane := planned.get(view):
            points, axes = square(plane["origin"], plane["normal"], middle, own[:3, :2], size)
            caption = f"{view} planned: the short axis, resliced in this plane"
            pictures.append(_picture(caption, values_at(image, affine, points), axes, size))
        points, axes = square(own[:3, 3], across, middle, own[:3, :2], size)
        # a grid with the image's plane, of one slice
        flat = np.column_stack([own[:, :2], [*across, 0], own[:, 3]])
        shown = values_at(pixels[..., None], flat, points, mode="grid-constant")
        pictures.append(_picture(f"{view} acquired", shown, axes, size))
    return pictures


def _picture(caption: str, image: np.ndarray, axes: np.ndarray, size: float) -> dict[str, Any]:
    """A picture of an image ``(right, down)`` in a `square` with these axes."""
    right, down = axes.T
    edges = [
        (x * size, y * size, direction_letters(way))
        for (x, y), way in zip(_EDGES, (-right, right, -down, down), strict=True)
    ]
    png = _encoded(grey_levels(image, grey_window(image[image != 0])), "PNG")
    return {"caption": caption, "png": png, "edges": edges}


def _path(lines: Sequence[np.ndarray]) -> str:
    """Outlines ``(points, 2)`` as an SVG path."""
    return "".join("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in line) for line in lines)


def _encoded(levels: np.ndarray, form: str) -> str:
    """A picture ``(i, j)`` of grey levels as a file, in base64."""
    file = io.BytesIO()
    Image.fromarray(levels.T).save(file, form, quality=_JPEG)
    return base64.b64encode(file.getvalue()).decode()


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
    shapes = {each.shape for _, *both in phases for each in both}
    if len(phases) < 2 or len(shapes) > 1:
        return None
    known = np.any([np.isin(labels, list(structures)).any(axis=2) for _, _, labels in phases], axis=0)
    if not known.any():
        return None
    part = tuple(
        slice(max(int(axis.min() - _MARGIN / step), 0), int(axis.max() + _MARGIN / step) + 1)
        for axis, step in zip(np.nonzero(known), spacing, strict=True)
    )
    *size, slices = phases[0][1][part].shape
    columns = math.ceil(math.sqrt(1.6 * slices))  # the picture is wider than high
    grid = math.ceil(slices / columns), columns
    # one window of grey levels for all phases, so that blood does not flicker
    window = grey_window([image[part] for _, image, _ in phases])
    frames = []
    for name, image, labels in phases:
        both = (grey_levels(image[part], window), labels[part])
        picture, shown = (montage(each.T, fill=0, grid_shape=grid).T for each in both)
        outlines = []
        for value in structures:
            lines = find_contours(np.pad(shown == value, 1).astype(float), 0.5)
            # subtract the border of one pixel, and add half a pixel from the corner to the first pixel's centre
            path = _path([(line - 0.5) * spacing for line in lines])
            outlines.append({"colour": structure_colour(value), "path": path})
        frames.append({"name": name, "picture": _encoded(picture, "JPEG"), "outlines": outlines})
    width, height = (round(count * step, 1) for count, step in zip(shown.shape, spacing, strict=True))
    tile = [round(count * step, 1) for count, step in zip(size, spacing, strict=True)]
    return {"width": width, "height": height, "tile": tile, "columns": columns, "slices": slices, "frames": frames}
