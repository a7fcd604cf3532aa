"""Lines along which planes intersect a slice, ``(A, B, C)`` with ``A i + B j + C = 0``, and their heatmaps."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from planewise.geometry.planes import fit_plane
from planewise.geometry.tolerances import CLAMP_SIGMAS, PARALLEL_ANGLE


def intersection_lines(affine: Tensor, origin: Tensor, normal: Tensor) -> Tensor:
    """Line along which a plane intersects a slice (Zhang 2024, section 4.1).

    A point of the slice is ``o + i u + j v``, so the plane ``n.(x - p) = 0`` intersects it where ``A i + B j + C = 0``
    with ``A = n.u``, ``B = n.v``, ``C = n.(o - p)``.

    Args:
        affine: affine of the slice, shape ``(..., 4, 4)``, RAS+, mm.
        origin: a point of the plane, shape ``(..., 3)``, RAS+, mm.
        normal: unit normal of the plane, shape ``(..., 3)``.

    Returns:
        ``(A, B, C)`` in float64, shape ``(..., 3)``, scaled to ``A^2 + B^2 = 1``: ``A i + B j + C`` is the signed
        distance in pixels. NaN if the planes are parallel or the geometry is degenerate. The leading dimensions
        broadcast: affines ``(N, 1, 4, 4)`` and planes ``(N, K, 3)`` give lines ``(N, K, 3)``.
    """
    affine, origin, normal = (torch.as_tensor(x, dtype=torch.float64) for x in (affine, origin, normal))
    u, v, o = affine[..., :3, 0], affine[..., :3, 1], affine[..., :3, 3]
    a = (normal * u).sum(dim=-1)
    b = (normal * v).sum(dim=-1)
    c = (normal * (o - origin)).sum(dim=-1)
    # sine of the angle between the planes: the length of the plane's unit normal projected onto the slice
    sine = torch.hypot(a / u.norm(dim=-1), b / v.norm(dim=-1))
    line = torch.stack([a, b, c], dim=-1) / torch.hypot(a, b)[..., None]
    return torch.where((sine > math.sin(PARALLEL_ANGLE))[..., None], line, torch.nan)


def lines_in_mm(lines: Tensor, affine: Tensor) -> Tensor:
    """Convert lines ``(..., 3)`` from pixel coordinates to coordinates ``(i |u|, j |v|)``, so that distances are in
    mm."""
    spacing = torch.stack([affine[..., :3, 0].norm(dim=-1), affine[..., :3, 1].norm(dim=-1)], dim=-1)
    direction = lines[..., :2] / spacing
    scaled = torch.cat([direction, lines[..., 2:]], dim=-1)
    return scaled / direction.norm(dim=-1, keepdim=True)


def line_errors(predicted: Tensor, reference: Tensor, affine: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Distance and angle of a line from the reference line.

    Args:
        predicted, reference: lines in pixel coordinates, shape ``(..., 3)``.
        affine: affine of the slice, shape ``(..., 4, 4)``, for the pixel spacing.
        shape: pixels along i and j.

    Returns:
        angle: angle between the lines, ``(...)``, radians in [0, pi/2].
        distance: distance of the predicted line from the point of the reference line that is closest to the centre of
            the image, ``(...)``, mm. Both are NaN if either line is NaN.
    """
    predicted, reference = lines_in_mm(predicted, affine), lines_in_mm(reference, affine)
    n, m = predicted[..., :2], reference[..., :2]
    sine = (n[..., 0] * m[..., 1] - n[..., 1] * m[..., 0]).abs()
    angle = torch.atan2(sine, (n * m).sum(dim=-1).abs())
    spacing = torch.stack([affine[..., :3, 0].norm(dim=-1), affine[..., :3, 1].norm(dim=-1)], dim=-1)
    centre = spacing * (torch.tensor(shape, dtype=spacing.dtype, device=spacing.device) - 1) / 2
    foot = centre - ((m * centre).sum(dim=-1) + reference[..., 2])[..., None] * m
    return angle, ((n * foot).sum(dim=-1) + predicted[..., 2]).abs()


def clip_lines(lines: Tensor, shape: tuple[int, int]) -> Tensor:
    """Cut each line to the part that lies on the image.

    Args:
        lines: shape ``(..., 3)``, pixel coordinates.
        shape: pixels along i and j; the image reaches from -0.5 to shape - 0.5.

    Returns:
        The two end points ``(i, j)``, shape ``(..., 2, 2)``; NaN if the line misses the image (or is NaN).
    """
    lines = torch.as_tensor(lines, dtype=torch.float64)
    normal, c = lines[..., :2], lines[..., 2]
    foot = -c[..., None] * normal  # point nearest to the origin of the pixel grid
    direction = torch.stack([-normal[..., 1], normal[..., 0]], dim=-1)
    size = torch.tensor(shape, dtype=torch.float64, device=lines.device)
    # Liang-Barsky: where the line enters and leaves each pair of borders
    low, high = (-0.5 - foot) / direction, (size - 0.5 - foot) / direction
    inside = (foot >= -0.5) & (foot <= size - 0.5)
    flat = direction.abs() < 1e-12
    infinite = torch.full_like(low, torch.inf)
    enter = torch.where(flat, torch.where(inside, -infinite, infinite), torch.minimum(low, high)).amax(dim=-1)
    leave = torch.where(flat, torch.where(inside, infinite, -infinite), torch.maximum(low, high)).amin(dim=-1)
    ends = torch.stack([foot + enter[..., None] * direction, foot + leave[..., None] * direction], dim=-2)
    return torch.where((enter < leave)[..., None, None], ends, torch.nan)


def pixels_to_patient(points: Tensor, affine: Tensor) -> Tensor:
    """Convert points ``(i, j)`` of a slice, shape ``(..., 2)``, to patient space, shape ``(..., 3)``, RAS+, mm."""
    return torch.einsum("...ab,...b->...a", affine[..., :3, :2], points.to(affine)) + affine[..., :3, 3]


def crossing(line: Tensor, other: Tensor) -> Tensor:
    """Intersection of two lines of a slice: ``(i, j)``, shape ``(..., 2)``; NaN or huge if they are (nearly) parallel."""
    a, b, c = line.unbind(dim=-1)
    d, e, f = other.unbind(dim=-1)
    determinant = a * e - b * d
    return torch.stack([b * f - c * e, c * d - a * f], dim=-1) / determinant[..., None]


def plane_from_lines(
    lines: Tensor, affines: Tensor, centres: Tensor, weights: Tensor | None = None, reach: float = 40.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Fit a plane to the lines found on the slices of a stack.

    Each line is represented by two points, at the distance ``reach`` on both sides of the line's point nearest to the
    organ. The fit starts from the plane through two lines with the smallest median distance to all lines. In the following
    rounds, lines far from the plane lose weight.

    Args:
        lines: one per slice, shape ``(N, 3)``, pixel coordinates; NaN lines are left out.
        affines: affines of the slices, shape ``(N, 4, 4)``, RAS+, mm.
        centres: position of the organ on each slice, shape ``(N, 2)``, pixels; the image's centre if it is unknown.
        weights: confidence in each line, shape ``(N,)``; by default, all weights are 1.
        reach: about the radius of the organ, within which the lines are valid, mm.

    Returns:
        origin ``(3,)``, unit normal ``(3,)``, and the root mean square distance of the points from the plane in mm
        ``()``. All NaN if fewer than two lines are left.
    """
    known = torch.isfinite(lines).all(dim=-1) & torch.isfinite(centres).all(dim=-1)
    if int(known.sum()) < 2:
        unknown = lines.new_full((3,), torch.nan, dtype=torch.float64)
        return unknown, unknown, unknown[0]
    confidence = torch.ones(len(lines)) if weights is None else weights
    every = torch.ones(1, int(known.sum()), dtype=torch.bool)
    origin, normal, residual = planes_of_subsets(
        lines[known], affines[known], centres[known], confidence[known], every, reach
    )
    return origin[0], normal[0], residual[0]


def planes_of_subsets(
    lines: Tensor, affines: Tensor, centres: Tensor, weights: Tensor, kept: Tensor, reach: float = 40.0
) -> tuple[Tensor, Tensor, Tensor]:
    """`plane_from_lines` for subsets of the lines, all at once.

    Args:
        lines, affines, centres, weights, reach: see `plane_from_lines`; all values are finite.
        kept: which lines each subset has, two or more, shape ``(S, N)``, bool.

    Returns:
        origins ``(S, 3)``, normals ``(S, 3)`` and residuals ``(S,)``.
    """
    points = _points_of_lines(lines, affines, centres, reach)
    first, second = torch.triu_indices(len(points), len(points), offset=1)
    origins, normals, _ = fit_plane(torch.cat([points[first], points[second]], dim=1))
    apart = ((points[None] - origins[:, None, None]) * normals[:, None, None]).sum(dim=-1).square().mean(dim=-1).sqrt()
    starts = []
    for own in kept:
        (pairs,) = (own[first] & own[second]).nonzero(as_tuple=True)
        starts.append(pairs[apart[pairs][:, own].median(dim=1).values.argmin()])
    origin, normal = origins[torch.stack(starts)], normals[torch.stack(starts)]
    confidence = weights.to(torch.float64) * kept

    def distances() -> Tensor:
        return ((points - origin[:, None, None]) @ normal[:, None, :, None]).square().mean(dim=(-2, -1)).sqrt()

    for _ in range(4):
        distance = distances()
        usual = distance.masked_fill(~kept, torch.nan).nanmedian(dim=-1, keepdim=True).values
        # Cauchy weights; with a scale below 1 mm, the fit would follow noise
        robust = 1 / (1 + (distance / (1.5 * usual).clamp_min(1.0)).square())
        origin, normal, _ = fit_plane(points.flatten(0, 1), (confidence * robust).repeat_interleave(2, dim=-1))
    share = confidence / confidence.sum(dim=-1, keepdim=True)
    return origin, normal, (share * distances().square()).sum(dim=-1).sqrt()


def distances_of_lines(
    lines: Tensor, affines: Tensor, centres: Tensor, origin: Tensor, normal: Tensor, reach: float = 40.0
) -> Tensor:
    """Distance of each slice's line from a plane, ``(N,)``, mm: the root mean square distance of the two points that
    represent the line (`plane_from_lines`); NaN for a slice without a line."""
    points = _points_of_lines(lines, affines, centres, reach)
    return ((points - origin) @ normal).square().mean(dim=1).sqrt()


def _points_of_lines(lines: Tensor, affines: Tensor, centres: Tensor, reach: float) -> Tensor:
    """Two points of each line in space, ``(N, 2, 3)``, ``reach`` mm to either side of its point nearest to a centre."""
    lines, affines, centres = lines.to(torch.float64), affines.to(torch.float64), centres.to(torch.float64)
    normal, c = lines[:, :2], lines[:, 2]
    foot = centres - ((normal * centres).sum(dim=-1) + c)[:, None] * normal
    along = torch.stack([-normal[:, 1], normal[:, 0]], dim=-1)
    middle = pixels_to_patient(foot, affines)
    direction = torch.einsum("nab,nb->na", affines[:, :3, :2], along)
    direction = direction / direction.norm(dim=-1, keepdim=True)
    return torch.stack([middle - reach * direction, middle + reach * direction], dim=1)


def line_heatmaps(lines: Tensor, shape: tuple[int, int], sigma: float) -> Tensor:
    """Gaussian of the distance from a line, Zhang 2024 Eq. (1).

    ``G(i, j) = exp(-(A i + B j + C)^2 / (2 sigma^2 (A^2 + B^2)))``

    Args:
        lines: ``(A, B, C)`` of `intersection_lines`, shape ``(..., 3)``, pixel coordinates, ``A^2 + B^2 = 1``.
        shape: pixels along i and j.
        sigma: standard deviation in pixels of this grid.

    Returns:
        Heatmaps, float32, shape ``(..., *shape)``, with the value 1 on the line; NaN for a line that is NaN. The two
        terms of the distance are computed in float64 and added in float32, so the error is below 1e-6.
    """
    rows = torch.arange(shape[0], dtype=torch.float64, device=lines.device)
    columns = torch.arange(shape[1], dtype=torch.float64, device=lines.device)
    a, b, c = (lines.to(torch.float64) / sigma).unsqueeze(-2).unbind(dim=-1)
    row_term = (a * rows + c).to(torch.float32)[..., :, None]
    column_term = (b * columns).to(torch.float32)[..., None, :]
    distance = row_term + column_term
    return distance.clamp_(-CLAMP_SIGMAS, CLAMP_SIGMAS).square_().mul_(-0.5).exp_()


def fit_lines(heatmaps: Tensor, ridge: float = 0.5, min_peak: float = 0.05) -> tuple[Tensor, Tensor]:
    """Fit a line to the ridge of each heatmap by weighted total least squares.

    The weight of a pixel is its height above ``ridge`` times the peak. Further passes keep only pixels near the line, so
    that a stray blob cannot rotate it, and whose mirror image across the line is on the image: if the border cuts the ridge
    obliquely, other pixels would pull the line to one side.

    Args:
        heatmaps: shape ``(..., H, W)``, any real values; negative values have no weight.
        ridge: share of the peak above which a pixel belongs to the ridge.
        min_peak: minimum peak of a heatmap with a ridge.

    Returns:
        lines: ``(A, B, C)``, shape ``(..., 3)``, float64, ``A^2 + B^2 = 1``, pixels. NaN if there is no ridge.
        peaks: maxima of the heatmaps, ``(...)``; 1 for a perfect heatmap.
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
    line = torch.where((peak >= min_peak)[:, None], line, torch.nan)
    return line.reshape(*leading, 3), peak.reshape(leading)


def _total_least_squares(weights: Tensor, i: Tensor, j: Tensor, groups: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Weighted total least squares line ``(count, 3)`` of each group of ``(points,)``, and its residual ``(count,)``."""

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
