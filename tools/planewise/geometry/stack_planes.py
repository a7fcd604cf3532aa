"""Fit the planes of other views to the lines predicted on a stack of slices, estimate how reliable they are, and calibrate
bounds for their errors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from planewise.geometry.lines import (
    crossing,
    distances_of_lines,
    fit_lines,
    intersection_lines,
    line_agreement,
    line_errors,
    pixels_to_patient,
    plane_from_lines,
    planes_of_subsets,
)
from planewise.geometry.planes import angle_between_planes, signed_distance


@dataclass
class PlannedPlane:
    """The plane of one view as predicted from a stack's slices."""

    view: str
    origin: Tensor
    """``(3,)``, RAS+, mm: the point of the plane nearest to the middle of the stack's lines."""
    normal: Tensor
    """``(3,)``, unit."""
    residual: float
    """Root mean square distance of the slices' lines from the plane, within 40 mm of the organ's centre, mm."""
    spread: float
    """Median over the slices of the angle between the slice's line and the plane's line, degrees."""
    agreement: float
    """Median over the slices of the cosine similarity between a heatmap and the ideal heatmap of its line, 0 to 1."""
    peak: float
    """Median peak of the heatmaps; a peak of 1 means that the network is certain."""
    slices: int
    """Number of slices with a line."""
    distances: Tensor
    """``(slices,)``, mm: distance of each slice's line from the plane, within 40 mm of the organ's centre; NaN for a
    slice without a line."""
    angle_sd: float
    """Jack-knife standard error of the normal, degrees: how much the plane depends on single slices."""
    offset_sd: float
    """Jack-knife standard error of the plane's position at the middle of the stack's lines, mm."""


class SliceLines(NamedTuple):
    """Lines found in the heatmaps of slices; every field starts with ``(slices, views)``."""

    lines: Tensor
    """``(slices, views, 3)``, pixel coordinates, float64; NaN if there is no line."""
    agreement: Tensor
    """Cosine similarity between the heatmap and the ideal heatmap of its line, 0 to 1."""
    peak: Tensor
    """Maximum of the heatmap."""


def find_lines(heatmaps: Tensor, sigma: float) -> SliceLines:
    """Fit lines to predicted heatmaps ``(slices, views, i, j)``; ``sigma`` is the width of their Gaussians in pixels."""
    lines, peaks = fit_lines(heatmaps)
    return SliceLines(lines, line_agreement(heatmaps, lines, sigma).to(torch.float64), peaks)


def plan_planes(found: SliceLines, affines: Tensor, shape: tuple[int, int], views: Sequence[str]) -> list[PlannedPlane]:
    """Fit a plane to every view's lines.

    Args:
        found: the lines found on the slices of one stack at one phase.
        affines: affines of the slices, shape ``(slices, 4, 4)``, RAS+, mm.
        shape: pixels along i and j.
        views: names of the channels.

    Returns:
        One `PlannedPlane` per view; it contains NaN if fewer than two slices have a line.
    """
    affines = affines.to(torch.float64)
    centres = line_centres(found.lines, shape)
    middle = pixels_to_patient(centres, affines).mean(dim=0)
    planned = []
    for channel, view in enumerate(views):
        lines, agreement = found.lines[:, channel], found.agreement[:, channel]
        weights = agreement.clamp_min(1e-3).square()
        origin, normal, residual = plane_from_lines(lines, affines, centres, weights)
        angle_sd, offset_sd = jackknife_of_plane(lines, affines, centres, weights, (origin, normal), middle)
        known = torch.isfinite(lines).all(dim=-1)
        spread = math.nan
        if bool(torch.isfinite(normal).all()):
            origin = middle - signed_distance(middle, origin, normal) * normal
            angle, _ = line_errors(lines, intersection_lines(affines, origin, normal), affines, shape)
            spread = math.degrees(float(angle.nanmedian()))
        planned.append(
            PlannedPlane(
                view=view,
                origin=origin,
                normal=normal,
                residual=float(residual),
                spread=spread,
                agreement=float(agreement[known].median()) if known.any() else 0.0,
                peak=float(found.peak[:, channel].median()),
                slices=int(known.sum()),
                distances=distances_of_lines(lines, affines, centres, origin, normal),
                angle_sd=angle_sd,
                offset_sd=offset_sd,
            )
        )
    return planned


def jackknife_of_plane(
    lines: Tensor,
    affines: Tensor,
    centres: Tensor,
    weights: Tensor,
    plane: tuple[Tensor, Tensor],
    at: Tensor,
    groups: int = 16,
) -> tuple[float, float]:
    """Jack-knife standard errors of the plane that `plane_from_lines` fits (Efron 1982, Eq. 3.5).

    The plane is fitted n times, each time without one slice. The standard error is ``sqrt((n - 1) / n sum_i d_i^2)``,
    where ``d_i`` is the resulting rotation or displacement of the plane. If a stack has more lines than ``groups``, the
    slices are divided into ``groups`` groups, and one group is left out each time.

    Args:
        lines, affines, centres, weights: values of one view, see `plane_from_lines`.
        plane: origin and normal of the plane that was fitted to all lines.
        at: point at which the plane's displacement is measured, ``(3,)``, RAS+, mm.
        groups: maximum number of fits.

    Returns:
        The standard errors in degrees and in mm; NaN if fewer than three slices have a line.
    """
    known = torch.isfinite(lines).all(dim=-1)
    lines, affines, centres, weights = lines[known], affines[known], centres[known], weights[known]
    count = min(len(lines), groups)
    if count < 3:
        return math.nan, math.nan
    kept = torch.arange(len(lines)) % count != torch.arange(count)[:, None]
    origins, normals, _ = planes_of_subsets(lines, affines, centres, weights, kept)
    moves = [plane_errors(*fitted, *plane, at) for fitted in zip(origins, normals, strict=True)]
    squares = torch.tensor(moves, dtype=torch.float64).square().sum(dim=0)
    angle, offset = ((count - 1) / count * squares).sqrt().tolist()
    return angle, offset


def line_centres(lines: Tensor, shape: tuple[int, int]) -> Tensor:
    """The point on each slice where the lines of the first two views cross, on the axis of the organ, ``(slices, 2)``,
    pixels; the image's centre if they do not cross on the image."""
    middle = torch.tensor([(shape[0] - 1) / 2, (shape[1] - 1) / 2], dtype=torch.float64).expand(len(lines), 2)
    if lines.shape[1] < 2:
        return middle
    cross = crossing(lines[:, 0], lines[:, 1])
    size = torch.tensor(shape, dtype=torch.float64)
    inside = ((cross >= 0) & (cross <= size - 1)).all(dim=-1, keepdim=True)
    return torch.where(inside, cross, middle)


def plane_errors(
    origin: Tensor, normal: Tensor, reference_origin: Tensor, reference_normal: Tensor, at: Tensor
) -> tuple[float, float]:
    """Angle (degrees) and offset (mm) of a plane from the reference plane, ``(3,)`` each, RAS+, mm. The offset is measured at
    the point of the reference plane that is nearest to the organ ``at``."""
    angle = math.degrees(float(angle_between_planes(normal, reference_normal)))
    foot = at - signed_distance(at, reference_origin, reference_normal) * reference_normal
    return angle, abs(float(signed_distance(foot, origin, normal)))


def mean_plane(origins: Tensor, normals: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The weighted mean of planes that were fitted to the same organ: its origin and unit normal.

    Args:
        origins: a point of each plane near the organ, ``(N, 3)``, RAS+, mm.
        normals: unit normals of either sign, ``(N, 3)``; the mean is their principal axis.
        weights: weights of the planes, ``(N,)``, not negative.
    """
    shares = weights / weights.sum()
    normal = torch.linalg.eigh((shares[:, None, None] * normals[:, :, None] * normals[:, None, :]).sum(dim=0))[1][:, -1]
    middle = (shares[:, None] * origins).sum(dim=0)
    # distance of each plane from the mean origin, along the mean normal
    distances = ((origins - middle) * normals).sum(dim=1) / (normals @ normal)
    return middle + (shares * distances).sum() * normal, normal


class Bound(NamedTuple):
    """A bound for the error of a plane, in degrees or in mm: ``sqrt(base^2 + (factor moved)^2)``.

    ``moved`` is the jack-knife standard error of the plane (`PlannedPlane.angle_sd`, `PlannedPlane.offset_sd`): how much its
    slices disagree. ``base`` is the error that all slices share, for example because the network misjudges the heart.
    """

    base: float
    """Degrees or mm."""
    factor: float
    """Factor of the jack-knife standard error."""

    def at(self, moved: float) -> float:
        """The bound of a plane with this jack-knife standard error; NaN if the standard error is unknown."""
        return math.hypot(self.base, self.factor * moved)


def calibrated_bound(errors: Tensor, moved: Tensor, share: float = 0.9) -> Bound:
    """Calibrate a bound that holds for a given share of planes.

    ``b / a`` maximises the likelihood of normal errors with the variance ``a^2 + (b moved)^2``. Then a and b are
    multiplied by the ``ceil((n + 1) share)``-th smallest of the ``n`` ratios of error and standard deviation, so that
    the share is right for any distribution (split conformal prediction: Papadopoulos 2002; Lei 2018, section 5.2).

    Args:
        errors: errors of the planes, ``(N,)``, degrees or mm, not negative.
        moved: jack-knife standard errors, ``(N,)``, in the same unit. Planes with a NaN in either are left out.
        share: share of the planes for which the bound should hold.

    Returns:
        The bound; its values are NaN if there are too few planes for the quantile (a share of 0.9 needs 9 planes).
    """
    known = torch.isfinite(errors) & torch.isfinite(moved)
    errors, moved = errors[known].to(torch.float64), moved[known].to(torch.float64)
    count = len(errors)
    rank = math.ceil((count + 1) * share)
    if rank > count:
        return Bound(math.nan, math.nan)
    typical = moved.median().clamp_min(1e-9)
    # candidates for b / a, in units of a typical standard error, from negligible to dominant
    ratios = torch.cat([torch.zeros(1), torch.logspace(-2, 2, 81)]).to(moved) / typical
    shapes = torch.hypot(torch.ones_like(moved), ratios[:, None] * moved)
    # for each candidate, the scale that maximises the likelihood is the root mean square of the scaled errors
    scales = (errors / shapes).square().mean(dim=1).sqrt().clamp_min(1e-12)
    best = (shapes.log().mean(dim=1) + scales.log()).argmin()
    quantile = float((errors / shapes[best]).sort().values[rank - 1])
    return Bound(quantile, quantile * float(ratios[best]))
