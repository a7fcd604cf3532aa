"""Convert lines to heatmaps, Zhang 2024 Eq. (1), and heatmaps to lines."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from planewise.geometry.tolerances import CLAMP_SIGMAS


def line_heatmaps(lines: Tensor, shape: tuple[int, int], sigma: float, out: Tensor | None = None) -> Tensor:
    """Gaussian of the distance from a line, Zhang 2024 Eq. (1).

    ``G(i, j) = exp(-(A i + B j + C)^2 / (2 sigma^2 (A^2 + B^2)))``

    Args:
        lines: ``(A, B, C)``, shape ``(..., 3)``, pixel coordinates, scaled to ``A^2 + B^2 = 1``, as returned by
            `intersection_lines`.
        shape: pixels along i and j.
        sigma: standard deviation in pixels of this grid.
        out: float32 tensor ``(..., *shape)`` to write to.

    Returns:
        Heatmaps, float32, shape ``(..., *shape)``, with the value 1 on the line; NaN for a line that is NaN. The two
        terms of the distance are computed in float64 and added in float32, so the error is below 1e-6.
    """
    rows = torch.arange(shape[0], dtype=torch.float64, device=lines.device)
    columns = torch.arange(shape[1], dtype=torch.float64, device=lines.device)
    a, b, c = (lines.to(torch.float64) / sigma).unsqueeze(-2).unbind(dim=-1)
    row_term = (a * rows + c).to(torch.float32)[..., :, None]
    column_term = (b * columns).to(torch.float32)[..., None, :]
    distance = torch.add(row_term, column_term, out=out)
    return distance.clamp_(-CLAMP_SIGMAS, CLAMP_SIGMAS).square_().mul_(-0.5).exp_()


class LineFit(NamedTuple):
    """Lines fitted to heatmaps; every field has the heatmaps' leading dimensions."""

    lines: Tensor
    """``(A, B, C)``, shape ``(..., 3)``, float64, ``A^2 + B^2 = 1``, pixels. NaN if there is no ridge."""
    residual: Tensor
    """Root mean square distance of the ridge from the line, pixels."""
    peak: Tensor
    """The heatmap's maximum; 1 for a perfect heatmap."""


def fit_lines(heatmaps: Tensor, ridge: float = 0.5, min_peak: float = 0.05) -> LineFit:
    """Fit a line to the ridge of each heatmap by weighted total least squares.

    The weight of a pixel is its height above ``ridge`` times the peak. Further passes keep only pixels near the line, so
    that a stray blob cannot rotate it, and whose mirror image across the line is on the image: if the border cuts the ridge
    obliquely, other pixels would pull the line to one side.

    Args:
        heatmaps: shape ``(..., H, W)``, any real values; negative values have no weight.
        ridge: share of the peak above which a pixel belongs to the ridge.
        min_peak: minimum peak of a heatmap with a ridge.
    """
    *leading, height, width = heatmaps.shape
    heights = heatmaps.reshape(math.prod(leading), height, width)
    peak = heights.amax(dim=(-2, -1))
    # only the pixels of the ridge are processed, because they are few
    ridges, i, j = (heights > ridge * peak[:, None, None]).nonzero(as_tuple=True)
    heights, peak = heights[ridges, i, j].to(torch.float64), peak.to(torch.float64)
    votes, i, j = heights - ridge * peak[ridges], i.to(torch.float64), j.to(torch.float64)
    line, residual = _total_least_squares(votes, i, j, ridges, len(peak))
    for _ in range(3):
        a, b, c = line[ridges].unbind(dim=-1)
        distance = a * i + b * j + c
        mirror_i, mirror_j = i - 2 * distance * a, j - 2 * distance * b
        keep = distance.abs() <= 3 * residual[ridges] + 1
        keep &= (mirror_i >= 0) & (mirror_i <= height - 1) & (mirror_j >= 0) & (mirror_j <= width - 1)
        line, residual = _total_least_squares(votes * keep, i, j, ridges, len(peak))
    found = peak >= min_peak
    return LineFit(
        torch.where(found[:, None], line, torch.nan).reshape(*leading, 3),
        torch.where(found, residual, torch.nan).reshape(leading),
        peak.reshape(leading),
    )


def _total_least_squares(weights: Tensor, i: Tensor, j: Tensor, groups: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Weighted total least squares line ``(count, 3)`` of each group of points ``(points,)``, and its residual
    ``(count,)``."""

    def total(values: Tensor) -> Tensor:
        return values.new_zeros(count).index_add(0, groups, values)

    weight = total(weights)
    mean_i, mean_j = total(weights * i) / weight, total(weights * j) / weight
    di, dj = i - mean_i[groups], j - mean_j[groups]
    ii, jj, ij = (total(weights * product) / weight for product in (di * di, dj * dj, di * dj))
    # closed form of the 2x2 eigenproblem: `along` is the direction of the ridge, and the normal is perpendicular to it
    along = 0.5 * torch.atan2(2 * ij, ii - jj)
    normal = torch.stack([-torch.sin(along), torch.cos(along)], dim=-1)
    smallest = (ii + jj) / 2 - torch.hypot((ii - jj) / 2, ij)
    c = -(normal[:, 0] * mean_i + normal[:, 1] * mean_j)
    return torch.cat([normal, c[:, None]], dim=-1), smallest.clamp_min(0).sqrt()


def line_agreement(heatmaps: Tensor, lines: Tensor, sigma: float) -> Tensor:
    """Cosine similarity of each heatmap and the heatmap of its fitted line, in [-1, 1], shape ``(...)``.

    It is 1 for a perfect heatmap, low for a blob, for several ridges or for diffuse values, and 0 if the line is NaN.
    """
    height, width = heatmaps.shape[-2:]
    ideal = torch.nan_to_num(line_heatmaps(lines, (height, width), sigma))
    heatmaps = heatmaps.to(torch.float32)
    product = (ideal * heatmaps).sum(dim=(-2, -1))
    norms = ideal.square().sum(dim=(-2, -1)).sqrt() * heatmaps.square().sum(dim=(-2, -1)).sqrt()
    return torch.where(norms > 0, product / norms.clamp_min(1e-12), 0.0)
