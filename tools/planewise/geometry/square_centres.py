"""Find the centres of squares in predicted maps, and measure how well they form the expected cross."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from planewise.geometry.lines import pixels_to_patient
from planewise.geometry.squares import SQUARE_STEPS


class FoundSquares(NamedTuple):
    """Squares found in predicted maps; every field starts with the maps' leading dimension."""

    centres: Tensor
    """``(N, 9, 3)``, RAS+, mm, float64; NaN if a square was not found."""
    filled: Tensor
    """``(N, 9)``: mean probability, 0 to 1, in the best window of a square's size, even if the square was not found."""


def find_squares(probabilities: Tensor, affine: Tensor, size: float, min_filled: float = 0.4) -> FoundSquares:
    """Find the centres of predicted squares.

    For each class, the window of a square's size with the highest mean probability is found. The centre is the mean
    position of the pixels in and around this window, weighted by probability, so that a stray blob elsewhere has no
    effect. A pixel counts only for its most probable class.

    Args:
        probabilities: probabilities of the background and nine squares, shape ``(N, 10, H, W)``.
        affine: affines of the slices, shape ``(N, 4, 4)``, RAS+, mm; the slices must have pixels of the same size.
        size: side of a square, mm.
        min_filled: smallest mean probability of a window in which a square counts as found. In a perfect map, the mean
            is 0.83 if the square is rotated by 45 degrees in the pixel grid, and about 0.5 if half of the square is on
            the image.
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
    return FoundSquares(torch.where((filled >= min_filled)[..., None], centres, torch.nan), filled.double())


def cross_residual(centres: Tensor, step: float) -> Tensor:
    """Root mean square distance (mm) of the found centres from the cross that fits them best, with squares ``step`` apart.

    The cross is fitted by least squares, in closed form; its centre c and the directions a and b of its lines are free.
    Square k, which is ``m_k`` steps along its line, should be at ``c + m_k a`` or ``c + m_k b``. After the fit, the
    lengths of a and b are set to ``step``.

    Args:
        centres: ``(..., 9, 3)``, mm; NaN where a square was not found.
        step: distance between the centres of neighbouring squares of a line, mm.

    Returns:
        Shape ``(...)``; NaN if fewer than four centres were found, or if only the crossing was found on one of the
        lines.
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
    centre = ((points - offsets) * known[..., None]).sum(dim=-2, keepdim=True) / known.sum(dim=-1).clamp_min(1)[
        ..., None, None
    ]
    squared = ((points - offsets - centre) * known[..., None]).square().sum(dim=(-2, -1))
    return torch.where(solvable, (squared / known.sum(dim=-1).clamp_min(1)).sqrt(), torch.nan)
