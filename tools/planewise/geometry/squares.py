"""Anatomical positions (Bai 2019, section 2): nine squares along the two lines in which other planes intersect a slice. Find
them in predicted maps, and measure how well they form the expected cross.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from planewise.geometry.lines import crossing, intersection_lines, pixels_to_patient
from planewise.geometry.planes import affine_inverse, plane_from_affine
from planewise.geometry.tolerances import MIN_END_COSINE, PARALLEL_ANGLE

#: Unit vectors and names of the directions along the body axes, RAS+.
_ENDS = {
    "R": ((1.0, 0.0, 0.0), "right"),
    "L": ((-1.0, 0.0, 0.0), "left"),
    "A": ((0.0, 1.0, 0.0), "anterior"),
    "P": ((0.0, -1.0, 0.0), "posterior"),
    "S": ((0.0, 0.0, 1.0), "superior"),
    "I": ((0.0, 0.0, -1.0), "inferior"),
}
_OPPOSITE = {"R": "L", "L": "R", "A": "P", "P": "A", "S": "I", "I": "S"}

#: The line of each square (0 or 1), and its position on the line in steps from the crossing towards the first end. The
#: classes 1 to 9 are the crossing, then, for each line, the near and the far square towards its first end, and the near
#: and the far square towards its other end.
SQUARE_STEPS = ((0, 0), (0, 1), (0, 2), (0, -1), (0, -2), (1, 1), (1, 2), (1, -1), (1, -2))


class Squares(NamedTuple):
    """Positions of the nine squares of slices. All values of a slice are NaN if its squares are unknown."""

    centres: Tensor
    """``(..., 9, 3)``, RAS+, mm, float64."""
    sides: Tensor
    """``(..., 2, 3)``: two perpendicular unit vectors in the slice, RAS+, along the sides of all nine squares."""


def end_direction(ends: str) -> tuple[float, float, float]:
    """Unit vector of a direction in the body, RAS+: ``"L"`` is left, and ``"AS"`` is between anterior and superior.

    Raises:
        ValueError: ``ends`` is not one to three letters of different axes.
    """
    axes = [frozenset((letter, _OPPOSITE.get(letter, ""))) for letter in ends]
    if not ends or any(letter not in _ENDS for letter in ends) or len(set(axes)) < len(axes):
        raise ValueError(
            f"the end of a line must be L, R, A, P, S or I, or letters of different axes such as AS, got {ends!r}"
        )
    total = [sum(_ENDS[letter][0][axis] for letter in ends) for axis in range(3)]
    length = math.sqrt(len(ends))
    return (total[0] / length, total[1] / length, total[2] / length)


def square_names(ends: Sequence[str]) -> tuple[str, ...]:
    """Names of the classes 1 to 9, such as ``crossing``, ``left`` and ``far left``.

    Args:
        ends: the first end of each line, see `end_direction`; only its first letter is used.
    """
    names = []
    for line, step in SQUARE_STEPS:
        letter = ends[line][0]
        name = _ENDS[letter if step > 0 else _OPPOSITE[letter]][1]
        names.append("crossing" if step == 0 else f"far {name}" if abs(step) == 2 else name)
    return tuple(names)


def squares_on_lines(affine: Tensor, planes: Tensor, ends: Sequence[str], step: float) -> Squares:
    """The nine anatomical positions of Bai 2019 (section 2, Fig. 1): the crossing of two lines, and four along each line.

    The sides of the squares follow both lines as closely as possible, and the first end of a line is a direction in the body,
    so squares and classes do not change if an image is flipped, rotated or stored in another order.

    Args:
        affine: affines of the slices, shape ``(..., 4, 4)``, RAS+, mm.
        planes: the two planes that intersect each slice, shape ``(..., 2, 2, 3)``: origin and unit normal of each.
        ends: the first end of each line, see `end_direction`.
        step: distance between the centres of neighbouring squares on a line, mm.

    Returns:
        `Squares`. They are NaN if a plane is (nearly) parallel to the slice, if the two lines are (`PARALLEL_ANGLE`), or if
        the ends of a line cannot be distinguished, because it is almost perpendicular to its first end (`MIN_END_COSINE`).
    """
    affine, planes = torch.as_tensor(affine, dtype=torch.float64), torch.as_tensor(planes, dtype=torch.float64)
    lines = intersection_lines(affine[..., None, :, :], planes[..., 0, :], planes[..., 1, :])
    centre = pixels_to_patient(crossing(lines[..., 0, :], lines[..., 1, :]), affine)
    across = plane_from_affine(affine)[1]
    along = torch.linalg.cross(across[..., None, :].expand_as(planes[..., 1, :]), planes[..., 1, :])
    along = along / along.norm(dim=-1, keepdim=True)
    # computed from plain numbers, because the host would have to wait for the copy of a tensor to the device
    directions = enumerate(map(end_direction, ends))
    cosine = torch.stack(
        [sum(along[..., line, axis] * value for axis, value in enumerate(first)) for line, first in directions], dim=-1
    )
    along = along * torch.sign(cosine)[..., None]
    turned = torch.linalg.cross(across[..., None, :].expand_as(along), along)  # rotated by 90 degrees
    sine = (turned[..., 0, :] * along[..., 1, :]).sum(dim=-1, keepdim=True)
    side = along[..., 0, :] - torch.sign(sine) * turned[..., 1, :]
    side = side / side.norm(dim=-1, keepdim=True)
    sides = torch.stack([side, torch.sign(sine) * torch.linalg.cross(across.expand_as(side), side)], dim=-2)
    offsets = torch.stack([number * step * along[..., line, :] for line, number in SQUARE_STEPS], dim=-2)
    known = (cosine.abs() >= MIN_END_COSINE).all(dim=-1) & (sine[..., 0].abs() > math.sin(PARALLEL_ANGLE))
    known = (known & torch.isfinite(centre).all(dim=-1))[..., None, None]
    return Squares(torch.where(known, centre[..., None, :] + offsets, torch.nan), torch.where(known, sides, torch.nan))


def square_labels(squares: Squares, affine: Tensor, shape: tuple[int, int], size: float) -> Tensor:
    """The class of every pixel: 0 for the background, 1 to 9 for the squares (the highest of those that overlap), -1
    everywhere if the squares are unknown.

    Args:
        squares: squares of the slices, with leading dimensions ``(...)``.
        affine: affines of the slices, shape ``(..., 4, 4)``, RAS+, mm.
        shape: pixels along i and j.
        size: side of a square, mm; a pixel belongs to a square if the square contains the pixel's centre.

    Returns:
        Shape ``(..., *shape)``, int64.
    """
    affine = affine.to(torch.float64)
    centre = squares.centres[..., :1, :]
    rows, columns = (torch.arange(count, dtype=torch.float64, device=affine.device) for count in shape)
    # distance of every pixel from the crossing along both sides, mm: the sum of a row term and a column term
    fields = []
    for side in squares.sides.unbind(dim=-2):
        from_row = (affine[..., :3, 0] * side).sum(dim=-1, keepdim=True) * rows
        from_column = (affine[..., :3, 1] * side).sum(dim=-1, keepdim=True) * columns
        start = ((affine[..., :3, 3] - centre[..., 0, :]) * side).sum(dim=-1, keepdim=True)
        fields.append((from_row + start).float()[..., :, None] + from_column.float()[..., None, :])
    at = ((squares.centres - centre)[..., None, :] * squares.sides[..., None, :, :]).sum(dim=-1).float()
    known = torch.isfinite(centre).all(dim=-1)[..., None]
    labels = torch.where(known, 0, -1).expand(*known.shape[:-2], *shape).clone()
    for number in range(len(SQUARE_STEPS)):
        inside = [(field - at[..., number, axis, None, None]).abs() <= size / 2 for axis, field in enumerate(fields)]
        labels.masked_fill_(inside[0] & inside[1], number + 1)
    return labels


def squares_inside(squares: Squares, affine: Tensor, shape: tuple[int, int], size: float) -> Tensor:
    """Whether each square has all four corners on the image, shape ``(..., 9)``, bool; False if it is unknown."""
    half = size / 2 * squares.sides[..., None, :, :]
    corners = torch.stack(
        [squares.centres + a * half[..., 0, :] + b * half[..., 1, :] for a in (-1, 1) for b in (-1, 1)], dim=-2
    )
    to_pixels = affine_inverse(affine)
    pixels = torch.einsum("...ab,...ncb->...nca", to_pixels[..., :2, :3], corners)
    pixels = pixels + to_pixels[..., None, None, :2, 3]
    within = [(pixels[..., axis] >= -0.5) & (pixels[..., axis] <= side - 0.5) for axis, side in enumerate(shape)]
    return (within[0] & within[1]).all(dim=-1)


def find_squares(probabilities: Tensor, affine: Tensor, size: float, min_filled: float = 0.4) -> Tensor:
    """Find the centres of predicted squares.

    The centre of a square is the mean position, weighted by probability, of the pixels in and around the window of its size
    with the highest mean probability. A pixel counts only for its most probable class.

    Args:
        probabilities: probabilities of the background and nine squares, shape ``(N, 10, H, W)``.
        affine: affines of the slices, shape ``(N, 4, 4)``, RAS+, mm; the slices must have pixels of the same size.
        size: side of a square, mm.
        min_filled: smallest mean probability of a window in which a square counts as found. In a perfect map, the mean
            is 0.83 if the square is rotated by 45 degrees in the grid, and about 0.5 if half of it is on the image.

    Returns:
        The centres, ``(N, 9, 3)``, RAS+, mm, float64; NaN if a square was not found.
    """
    count, _, height, width = probabilities.shape
    affine = affine.to(torch.float64)
    winner = probabilities.argmax(dim=1, keepdim=True)
    classes = torch.arange(1, len(SQUARE_STEPS) + 1, device=probabilities.device)[None, :, None, None]
    weights = torch.where(winner == classes, probabilities[:, 1:], 0.0).float()
    spacing = affine[:, :3, :2].norm(dim=1).mean(dim=0).tolist()
    window = [min(max(round(size / step), 1), side) for step, side in zip(spacing, (height, width), strict=True)]
    shares = avg_pool2d(weights, window, stride=1)
    filled, best = shares.flatten(2).max(dim=2)
    top, left = best // shares.shape[3], best % shares.shape[3]
    # the window may be slightly misplaced, so pixels just outside it also count
    rows, columns = (torch.arange(side, device=weights.device, dtype=torch.float64) for side in (height, width))
    row_near = (rows - (top[..., None] + (window[0] - 1) / 2)).abs() <= 0.75 * window[0]
    column_near = (columns - (left[..., None] + (window[1] - 1) / 2)).abs() <= 0.75 * window[1]
    near = weights.double() * row_near[..., :, None] * column_near[..., None, :]
    total = near.sum(dim=(2, 3))
    mean = torch.stack(
        [(near.sum(dim=3) * rows).sum(dim=2) / total, (near.sum(dim=2) * columns).sum(dim=2) / total], dim=-1
    )
    centres = pixels_to_patient(mean, affine[:, None])
    return torch.where((filled >= min_filled)[..., None], centres, torch.nan)


def cross_residual(centres: Tensor, step: float) -> Tensor:
    """Root mean square distance (mm) of the found centres from the cross that fits them best, with squares ``step`` apart.

    Its centre c and the directions a and b of its lines are fitted by least squares, in closed form: square k, which is
    ``m_k`` steps along its line, should be at ``c + m_k a`` or ``c + m_k b``. Then a and b get the length ``step``.

    Args:
        centres: ``(..., 9, 3)``, mm; NaN where a square was not found.
        step: distance between the centres of neighbouring squares of a line, mm.

    Returns:
        Shape ``(...)``; NaN if fewer than four centres, or only the crossing on one of the lines, were found.
    """
    design = torch.zeros(len(SQUARE_STEPS), 3, dtype=torch.float64, device=centres.device)
    design[:, 0] = 1
    for number, (line, steps) in enumerate(SQUARE_STEPS):
        design[number, 1 + line] = steps
    known = torch.isfinite(centres).all(dim=-1)
    weighted = design * known[..., None]
    points = torch.nan_to_num(centres.to(torch.float64))
    normal = weighted.mT @ weighted
    # the entries are whole numbers, so the determinant is a whole number, too
    solvable = (torch.linalg.det(normal) > 0.5) & (known.sum(dim=-1) >= 4)
    eye = torch.eye(3, dtype=torch.float64, device=centres.device)
    fitted = torch.linalg.solve(torch.where(solvable[..., None, None], normal, eye), weighted.mT @ points)
    lengths = fitted[..., 1:, :].norm(dim=-1, keepdim=True)
    directions = fitted[..., 1:, :] / lengths.clamp_min(1e-9) * step
    # the best centre changes when the lengths are fixed
    offsets = design[:, 1:] @ directions
    count = known.sum(dim=-1).clamp_min(1)
    centre = ((points - offsets) * known[..., None]).sum(dim=-2, keepdim=True) / count[..., None, None]
    squared = ((points - offsets - centre) * known[..., None]).square().sum(dim=(-2, -1))
    return torch.where(solvable, (squared / count).sqrt(), torch.nan)
