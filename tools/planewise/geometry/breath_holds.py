"""Estimate the true positions of an exam's slices when each slice was acquired in its own breath-hold.

The method follows Stolt-Anso, Sideri-Lampretsa, Dannecker and Rueckert 2024 (arXiv 2404.00767): two intersecting images
show the same tissue along their line of intersection, so the images are moved until their intensities agree along all
lines. Here each image is only translated. The agreement is measured by correlation, because it does not depend on the
gain, the offset or the coil shading of an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, pad

#: Half the length of the compared part of a line, mm. This part covers the heart and little else that moves with breathing.
REACH = 60.0
#: Distance between the points of a line, mm.
STEP = 2.0
#: Distance, mm, at which intensities along a line count as independent; about the thickness of the heart's wall.
INDEPENDENT = 10.0
#: A line counts only if at least this length (mm) lies on both images.
SHORTEST = 40.0
#: Smallest sine of the angle between two planes whose line is compared. At smaller angles, the position of the line
#: depends strongly on the tilt of the planes.
MIN_SINE = 0.3
#: Initial standard deviation of the shifts, mm along each axis; it is later replaced by an estimate from the exam.
USUAL_SHIFT = 3.0
#: Largest shift along an axis, mm; hearts move about this much between deep breaths.
LARGEST_SHIFT = 15.0
#: Standard deviations (mm) of the Gaussians that blur the images in successive rounds, so that large shifts are found
#: first.
BLURS = (4.0, 2.0, 0.0)
#: One minus the correlation of identical tissue. It keeps a line with a perfect correlation from outweighing all others.
_FLOOR = 0.01
#: A thick slice is the average of thin sheets: their offsets from its middle, as shares of its thickness.
_SHEETS = (-1 / 3, 0.0, 1 / 3)


class BreathHolds(NamedTuple):
    """Shifts of N images, and how well the images agree before and after them."""

    shifts: Tensor
    """``(N, 3)``, RAS+, mm, to be added to the positions of the images. A shift that is common to all images cannot be
    detected, so the mean of the shifts is set to zero."""
    uncertainty: Tensor
    """``(N,)``, mm: standard deviation of the shift, estimated from how sharply the lines agree. For images without
    information it is `USUAL_SHIFT` times the square root of 3."""
    before: Tensor
    """``(L,)``: correlation along each line that counts, at the positions in the headers."""
    after: Tensor
    """``(L,)``: the same, after the correction."""


def breath_hold_shifts(images: Sequence[Tensor], affines: Tensor, thickness: Tensor) -> BreathHolds:
    """Find translations of images that make their intensities agree along all lines of intersection.

    The shifts ``d`` minimise ``n/2 sum_l log(1 - c_l) + |d|^2 / (2 s^2)``, where ``c_l`` is the correlation along line l
    and n the number of independent points on a line. The first term is the negative log-likelihood of two profiles that
    are linear functions of each other, up to normal noise. Each line has its own gain, offset and noise, so a line that
    does not fit has little weight. The spread s of the shifts is estimated from the exam itself (expectation
    maximisation), so images that are already aligned are left alone. Damped Gauss-Newton steps find the minimum, first
    on blurred and then on sharp images.

    Args:
        images: images of one phase, ``(I, J)`` each.
        affines: ``(N, 4, 4)``, voxel indices to patient space, RAS+, mm.
        thickness: thickness of the slices, ``(N,)``, mm. A thick slice is compared with the mean of the other image over
            this thickness.

    Returns:
        The shifts. If no two images intersect, the shifts are zero and there are no lines.

    Raises:
        ValueError: there are no images.
    """
    affines, thickness = affines.to(torch.float64), thickness.to(torch.float64)
    if not len(images):
        raise ValueError("breath_hold_shifts needs at least one image, got none")
    lines = _Lines(images, affines, thickness)
    count = len(images)
    still = torch.zeros(count, 3, dtype=torch.float64)
    if not len(lines.first):
        return BreathHolds(still, torch.full((count,), USUAL_SHIFT * 3**0.5), torch.zeros(0), torch.zeros(0))
    precision = USUAL_SHIFT**-2
    shifts = still
    for blur in BLURS:
        pictures = _pictures(images, affines, blur)
        shifts, hessian = _minimise(lines, pictures, shifts, precision)
    uncertainty = _spread(hessian, count)
    for _ in range(3):
        variance = (shifts.square().sum() + torch.linalg.inv(hessian).trace()) / (3 * count)
        precision = 1 / max(float(variance), 0.01)
        shifts, hessian = _minimise(lines, pictures, shifts, precision, steps=4)
    shifts = shifts - shifts.mean(dim=0)
    before, after = lines.compare(pictures, still), lines.compare(pictures, shifts)
    known = before.counts & after.counts
    return BreathHolds(shifts, uncertainty, before.correlation[known], after.correlation[known])


class _Compared(NamedTuple):
    residual: Tensor
    """``(L, T)``: difference of the two profiles, each of mean zero and length one"""
    slope: Tensor
    """``(L, T, 6)``: derivative of the difference with respect to the shifts of the first and of the second image"""
    correlation: Tensor
    """``(L,)``"""
    counts: Tensor
    """``(L,)``: whether enough of the line lies on both images (`SHORTEST`)"""


class _Lines:
    """The lines of intersection of the images, as functions of the images' shifts."""

    def __init__(self, images: Sequence[Tensor], affines: Tensor, thickness: Tensor) -> None:
        normals = torch.linalg.cross(affines[:, :3, 0], affines[:, :3, 1])
        normals = normals / normals.norm(dim=-1, keepdim=True)
        first, second = torch.triu_indices(len(affines), len(affines), offset=1)
        sine = torch.linalg.cross(normals[first], normals[second]).norm(dim=-1)
        self.first, self.second = first[sine > MIN_SINE], second[sine > MIN_SINE]
        self.origins, self.normals, self.thickness = affines[:, :3, 3], normals, thickness
        self.to_pixels = torch.linalg.pinv(affines[:, :3, :2])
        self.sizes = torch.tensor([image.shape for image in images], dtype=torch.float64)
        a, b = normals[self.first], normals[self.second]
        self.direction = torch.linalg.cross(a, b)
        self.direction = self.direction / self.direction.norm(dim=-1, keepdim=True)
        # three equations determine the point that is on both planes and nearest to the heart; shifts change only their right
        # sides
        self.solve = torch.linalg.inv(torch.stack([a, b, self.direction], dim=1))
        self.moved_by = [
            self.solve[:, :, 0, None] * a[:, None],
            self.solve[:, :, 1, None] * b[:, None],
        ]
        self.centre = self._common_point(affines)
        self.along = torch.arange(-REACH, REACH + STEP / 2, STEP, dtype=torch.float64)

    def _common_point(self, affines: Tensor) -> Tensor:
        """The point nearest to all planes, ``(3,)``. In directions that the planes do not determine, it is in the middle of
        the images."""
        middles = torch.einsum("nab,nb->na", affines[:, :3, :2], (self.sizes - 1) / 2) + self.origins
        middle = middles.mean(dim=0)
        apart = ((self.origins - middle) * self.normals).sum(dim=-1)
        return middle + torch.linalg.pinv(self.normals, rtol=0.1) @ apart

    def compare(self, pictures: Tensor, shifts: Tensor) -> _Compared:
        """Compare the profiles along all lines after the images are moved by ``shifts``."""
        a, b = self.first, self.second
        where = self.origins + shifts
        right = [(self.normals[of] * where[of]).sum(dim=-1) for of in (a, b)]
        right.append(self.direction @ self.centre)
        foot = torch.einsum("lab,lb->la", self.solve, torch.stack(right, dim=-1))
        points = foot[:, None] + self.along[:, None] * self.direction[:, None]
        one, one_slope, on_one = self._profile(pictures, a, points - shifts[a][:, None], b)
        two, two_slope, on_two = self._profile(pictures, b, points - shifts[b][:, None], a)
        on = on_one & on_two
        eye = torch.eye(3, dtype=torch.float64)
        to_a, to_b = self.moved_by
        one_slope = torch.cat([one_slope @ (to_a - eye), one_slope @ to_b], dim=-1)
        two_slope = torch.cat([two_slope @ to_a, two_slope @ (to_b - eye)], dim=-1)
        one, one_slope = _normalised(one, one_slope, on)
        two, two_slope = _normalised(two, two_slope, on)
        return _Compared(one - two, one_slope - two_slope, (one * two).sum(dim=-1), on.sum(dim=-1) * STEP >= SHORTEST)

    def _profile(self, pictures: Tensor, of: Tensor, points: Tensor, other: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sample images at points, averaged over the thickness of other images.

        Args:
            pictures: the images and their derivatives, from `_pictures`.
            of: number of the image to sample for each line, ``(L,)``.
            points: points on the lines, ``(L, T, 3)``, RAS+, mm.
            other: number of the image whose thickness matters, ``(L,)``.

        Returns:
            Values ``(L, T)``, derivatives in patient space ``(L, T, 3)``, and whether the points lie on the image,
            ``(L, T)``.
        """
        depth = self.normals[other] * self.thickness[other][:, None]
        sheets = points[:, :, None] + torch.tensor(_SHEETS, dtype=torch.float64)[:, None] * depth[:, None, None]
        pixels = torch.einsum("lab,ltkb->ltka", self.to_pixels[of], sheets - self.origins[of][:, None, None])
        inside = ((pixels >= 0) & (pixels <= self.sizes[of][:, None, None] - 1)).all(dim=-1).all(dim=-1)
        size = torch.tensor(pictures.shape[-2:], dtype=torch.float64)
        # grid_sample expects the last axis first
        grid = (pixels / (size - 1) * 2 - 1).flip(-1)
        sampled = grid_sample(pictures[of], grid, align_corners=True, padding_mode="border").mean(dim=-1)
        return sampled[:, 0], sampled[:, 1:].transpose(1, 2) @ self.to_pixels[of], inside


def _pictures(images: Sequence[Tensor], affines: Tensor, blur: float) -> Tensor:
    """Blurred images and their derivatives along i and j, ``(N, 3, I, J)``, padded with zeros to the same size."""
    from scipy.ndimage import (
        gaussian_filter,
    )  # here, because `planewise index` imports this package and should not wait for SciPy

    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    pictures = []
    for image, affine in zip(images, affines, strict=True):
        spacing = affine[:3, :2].norm(dim=0).numpy()
        values = gaussian_filter(image.numpy().astype(np.float64), blur / spacing, mode="nearest")
        three = torch.from_numpy(np.stack([values, *np.gradient(values)]))
        pictures.append(pad(three, (0, width - values.shape[1], 0, height - values.shape[0])))
    return torch.stack(pictures)


def _normalised(profile: Tensor, slope: Tensor, on: Tensor) -> tuple[Tensor, Tensor]:
    """Scale profiles ``(L, T)`` to mean zero and length one over the points ``on``, and their derivatives ``(L, T, 6)``."""
    weight = on.to(profile)
    count = weight.sum(dim=-1, keepdim=True).clamp_min(1)
    profile = (profile - (profile * weight).sum(dim=1, keepdim=True) / count) * weight
    slope = (slope - (slope * weight[..., None]).sum(dim=1, keepdim=True) / count[..., None]) * weight[..., None]
    length = profile.norm(dim=-1, keepdim=True).clamp_min(1e-9)
    profile = profile / length
    along = torch.einsum("lt,ltk->lk", profile, slope)
    return profile, (slope - profile[..., None] * along[:, None]) / length[..., None]


def _minimise(
    lines: _Lines, pictures: Tensor, shifts: Tensor, precision: float, steps: int = 12
) -> tuple[Tensor, Tensor]:
    """Shifts ``(N, 3)`` after damped Gauss-Newton steps, and the Hessian ``(3N, 3N)`` at these shifts."""
    damping = 1e-2
    compared = lines.compare(pictures, shifts)
    cost = _cost(compared, shifts, precision)
    for _ in range(steps):
        hessian, gradient = _normal_equations(lines, compared, shifts, precision)
        for _ in range(6):
            damped = hessian + damping * torch.diag(hessian.diagonal())
            step = -torch.linalg.solve(damped, gradient).reshape(shifts.shape)
            moved = (shifts + step).clamp(-LARGEST_SHIFT, LARGEST_SHIFT)
            there = lines.compare(pictures, moved)
            if (lower := _cost(there, moved, precision)) < cost:
                shifts, compared, cost = moved, there, lower
                damping = max(damping / 5, 1e-5)
                break
            damping *= 5
        else:
            break
        if float(step.abs().max()) < 0.02:
            break
    return shifts, _normal_equations(lines, compared, shifts, precision)[0]


def _cost(compared: _Compared, shifts: Tensor, precision: float) -> float:
    apart = (1 - compared.correlation).clamp_min(0) + _FLOOR
    independent = 2 * REACH / INDEPENDENT
    return float(independent / 2 * apart.log()[compared.counts].sum() + precision / 2 * shifts.square().sum())


def _normal_equations(lines: _Lines, compared: _Compared, shifts: Tensor, precision: float) -> tuple[Tensor, Tensor]:
    """Hessian ``(3N, 3N)`` (Gauss-Newton approximation) and gradient ``(3N,)`` of the cost."""
    apart = (1 - compared.correlation).clamp_min(0) + _FLOOR
    weight = REACH / INDEPENDENT * compared.counts / apart
    both = torch.stack([lines.first, lines.second], dim=-1)
    index = (3 * both[:, :, None] + torch.arange(3)).flatten(1)
    size = shifts.numel()
    hessian = precision * torch.eye(size, dtype=torch.float64)
    gradient = precision * shifts.flatten()
    squares = torch.einsum("l,lta,ltb->lab", weight, compared.slope, compared.slope)
    hessian.index_put_((index[:, :, None].expand(-1, -1, 6), index[:, None].expand(-1, 6, -1)), squares, True)
    gradient = gradient.index_put(
        (index,), torch.einsum("l,lta,lt->la", weight, compared.slope, compared.residual), True
    )
    return hessian, gradient


def _spread(hessian: Tensor, count: int) -> Tensor:
    """Standard deviation ``(N,)`` of the shifts relative to their mean, mm."""
    apart = torch.kron(torch.eye(count, dtype=torch.float64) - 1 / count, torch.eye(3, dtype=torch.float64))
    covariance = apart @ torch.linalg.inv(hessian) @ apart
    return covariance.diagonal().reshape(count, 3).sum(dim=-1).sqrt()
