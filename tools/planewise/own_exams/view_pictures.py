"""Planned and acquired long-axis views side by side: the stack cut in the planned plane, and the acquired image; and the
surfaces between slices whose outlines they show."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import binary_fill_holes, distance_transform_edt, map_coordinates
from skimage.measure import find_contours

from planewise.reports.segmentation_figures import structure_colour

#: Pixel size of the pictures, mm.
_SPACING = 0.75
#: The name of a direction contains a body axis if its component along this axis is at least the sine of 22.5 degrees.
_OBLIQUE = 0.38
#: Positions of the letters at a picture's edges, as shares of its size: left, right, top, bottom.
_EDGES = ((0.04, 0.5), (0.96, 0.5), (0.5, 0.05), (0.5, 0.95))


def label_distances(mask: np.ndarray) -> np.ndarray:
    """Signed distances from a structure's edge in every slice, positive inside; the zero level is a surface without
    steps.

    Interpolating distances instead of labels between slices is shape-based interpolation (Raya and Udupa 1990).

    Args:
        mask: ``(i, j, slices)``, bool.

    Returns:
        ``(i + 2, j + 2, slices + 2)``, pixels: a border of background, and an empty slice at each end, so that the
        structure's surface closes half a slice beyond the last slice that shows it.
    """
    padded = np.pad(mask, 1)
    distances = np.empty(padded.shape, dtype=np.float32)
    far = -float(max(mask.shape[:2]))
    for number in range(padded.shape[2]):
        inside = padded[..., number]
        if inside.any():
            # half a pixel, because the edge lies between the pixels
            distances[..., number] = np.where(
                inside, distance_transform_edt(inside) - 0.5, 0.5 - distance_transform_edt(~inside)
            )
        else:
            distances[..., number] = far
    for number in range(padded.shape[2]):
        if not padded[..., number].any():
            shown = [
                near for near in (number - 1, number + 1) if 0 <= near < padded.shape[2] and padded[..., near].any()
            ]
            for near in shown:
                nearest = distances[..., near]
                closing = nearest - 2 * nearest.max()
                distances[..., number] = np.maximum(distances[..., number], closing)
    return distances


@dataclass(frozen=True)
class Volume:
    """A stack on an even grid.

    Attributes:
        values: ``(i, j, slices)``.
        affine: ``(4, 4)``, RAS+, mm.
    """

    values: np.ndarray
    affine: np.ndarray

    def at(self, points: np.ndarray) -> np.ndarray:
        """Voxel coordinates ``(3, ...)`` of points ``(..., 3)``, RAS+, mm."""
        return np.moveaxis((points - self.affine[:3, 3]) @ np.linalg.inv(self.affine[:3, :3]).T, -1, 0)

    @property
    def middle(self) -> np.ndarray:
        """Middle of the volume, RAS+, mm."""
        return self.affine[:3, :3] @ ((np.array(self.values.shape) - 1) / 2) + self.affine[:3, 3]


@dataclass(frozen=True)
class Square:
    """A square in patient space.

    Attributes:
        points: ``(count, count, 3)``, RAS+, mm; the first axis runs along ``right``, the second along ``down``.
        right, down: unit vectors, RAS+.
    """

    points: np.ndarray
    right: np.ndarray
    down: np.ndarray


def square(
    origin: Sequence[float], normal: Sequence[float], middle: np.ndarray, sides: np.ndarray, size: float
) -> Square:
    """A square in a plane, centred on the plane's point nearest to ``middle``.

    Args:
        origin, normal: a point of the plane and its normal, RAS+, mm.
        middle: a point, RAS+, mm.
        sides: ``(3, 2)``, directions to the right and down; the square's sides are as close to them as the plane allows.
        size: side of the square, mm.
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
    points = centre + steps[:, None, None] * axes[:, 0] + steps[None, :, None] * axes[:, 1]
    return Square(points, axes[:, 0], axes[:, 1])


def view_pictures(
    stack: Volume,
    labels: np.ndarray | None,
    structures: Mapping[int, str],
    planned: Mapping[str, Mapping[str, Sequence[float]]],
    images: Mapping[str, tuple[np.ndarray, np.ndarray]],
    size: float,
) -> str:
    """A row of pictures for each view that has an acquired image: the planned plane, if there is one, and the image.

    Both show the same directions and the outlines of the structures, which come from the short axis.

    Args:
        stack: the short-axis stack.
        labels: label map on the stack's grid.
        structures: label value to name.
        planned: maps each view to the ``origin`` and ``normal`` of its plane, RAS+, mm.
        images: maps each view to the acquired image ``(i, j)`` and its affine.
        size: side of the pictures, mm.

    Returns:
        HTML; empty if there are no acquired images.
    """
    surfaces = {
        value: Volume(label_distances(_filled(labels == value)), stack.affine)
        for value in structures
        if labels is not None and (labels == value).any()
    }
    pictures: list[str] = []
    for view, (pixels, affine) in images.items():
        sides = affine[:3, :2]
        acquired = square(affine[:3, 3], np.cross(*sides.T), stack.middle, sides, size)
        index = np.linalg.lstsq(sides, (acquired.points - affine[:3, 3]).reshape(-1, 3).T, rcond=None)[0]
        image = map_coordinates(pixels.astype(np.float32), index.reshape(2, *acquired.points.shape[:2]), order=1)
        if plane := planned.get(view):
            cut = square(plane["origin"], plane["normal"], stack.middle, sides, size)
            grey = map_coordinates(stack.values.astype(np.float32), stack.at(cut.points), order=1)
            pictures.append(
                _picture(f"{view} planned: the short axis, resliced in this plane", grey, cut, surfaces, size)
            )
        pictures.append(_picture(f"{view} acquired", image, acquired, surfaces, size))
    if not pictures:
        return ""
    # every view has its pictures, but the names of the outlines are shown once
    names = "".join(
        f' <span style="color: {structure_colour(value)}">{html.escape(structures[value])}</span>' for value in surfaces
    )
    title, note = "Acquired views", ""
    if any(view in planned for view in images):
        title, note = (
            "Planned and acquired views",
            f"Both pictures of a view show the same {size:.0f} mm and directions. ",
        )
    note += f"The outlines come from the short axis:{names}." if names else ""
    return (
        f'<section class="views"><h2>{title}</h2><p class="note">{note}</p>'
        f'<div class="pictures">{"".join(pictures)}</div></section>'
    )


def direction_letters(direction: Sequence[float]) -> str:
    """The letters that viewers write on the edge of an image for a direction: ``"A"``, or ``"AL"`` if it is oblique.

    Args:
        direction: RAS+, of any length. R and L are the patient's right and left, A and P front and back, H and F head and
            feet.
    """
    shares = np.asarray(direction, dtype=float) / max(float(np.linalg.norm(direction)), 1e-12)
    axes = [axis for axis in np.argsort(-abs(shares))[:2] if abs(shares[axis]) > _OBLIQUE]
    return "".join("RAH"[axis] if shares[axis] > 0 else "LPF"[axis] for axis in axes)


def _filled(mask: np.ndarray) -> np.ndarray:
    """A structure and what it encloses in each slice: a thin ring such as the myocardium could break between slices."""
    return np.stack([binary_fill_holes(mask[..., number]) for number in range(mask.shape[2])], axis=2)


def _picture(caption: str, image: np.ndarray, place: Square, surfaces: Mapping[int, Volume], size: float) -> str:
    """A figure of an image ``(right, down)`` with the outlines of the surfaces and the letters of its edges."""
    shown = image[image != 0]
    low, high = np.percentile(shown, (0.5, 99.5)) if shown.size else (0, 1)
    levels = (np.clip((image - low) / max(high - low, 1e-6), 0, 1) * 255).round().astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(levels.T).save(file, "PNG")
    marks = []
    for value, surface in surfaces.items():
        # the distances have a border of one voxel
        inside = map_coordinates(surface.values, surface.at(place.points) + 1, order=1, mode="nearest")
        lines = [(line * _SPACING).round(1) for line in find_contours(inside, 0.0)]
        path = "".join("M" + "L".join(f"{x:g} {y:g}" for x, y in line) for line in lines)
        marks.append(f'<path d="{path}" stroke="{structure_colour(value)}"/>')
    for (x, y), direction in zip(_EDGES, (-place.right, place.right, -place.down, place.down), strict=True):
        marks.append(f'<text x="{x * size:.1f}" y="{y * size:.1f}">{direction_letters(direction)}</text>')
    caption = html.escape(caption)
    return (
        f'<figure><svg viewBox="0 0 {size:g} {size:g}" role="img" aria-label="{caption}"><image width="{size:g}" '
        f'height="{size:g}" href="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"/>{"".join(marks)}'
        f"</svg><figcaption>{caption}</figcaption></figure>"
    )
