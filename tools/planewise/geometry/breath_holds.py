"""Estimate the true positions of an exam's slices, if each slice was acquired in its own breath-hold.

After Stolt-Anso, Sideri-Lampretsa, Dannecker and Rueckert 2024 (arXiv 2404.00767): two intersecting images show the
same tissue along their line of intersection, so the images are moved until their intensities agree along all lines.
Here each image is only translated, and agreement is measured by correlation, which is invariant to the gain, offset or
coil shading of one image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, pad

#: Half the length of the compared part of a line, mm. It covers the heart, and little else that breathing moves.
REACH = 60.0
#: Distance between the points of a line, mm.
STEP = 2.0
#: Intensities along a line count as independent at this distance (mm), about the thickness of the heart's wall.
INDEPENDENT = 10.0
#: A line counts only if at least this length (mm) lies on both images.
SHORTEST = 40.0
#: Planes whose angle has a smaller sine than this have no line to compare, because its position would depend on their
#: tilt.
MIN_SINE = 0.3
#: Standard deviation of the prior of the shifts, mm along each axis, which the estimate from the exam replaces.
USUAL_SHIFT = 3.0
#: No image is moved further than this along an axis, mm; hearts move about as much between deep breaths.
LARGEST_SHIFT = 15.0
#: Images are blurred by Gaussians of these standard deviations (mm), one after the other, so that large shifts are
#: found first.
BLURS = (4.0, 2.0, 0.0)
#: One minus the correlation that identical tissue reaches; prevents a perfect line from outweighing all others.
_FLOOR = 0.01
#: Positions of the sheets that are averaged for a thick slice, as offsets from its middle in shares of its thickness.
_SHEETS = (-1 / 3, 0.0, 1 / 3)


class BreathHolds(NamedTuple):
    """Shifts of N images, and the evidence for them."""

    shifts: Tensor
    """``(N, 3)``, RAS+, mm, to be added to the images' positions. A shift common to all images cannot be detected, so
    the mean is zero."""
    uncertainty: Tensor
    """``(N,)``, mm: standard deviation of the shift, estimated from how sharply the lines agree. For images without
    information it is `USUAL_SHIFT` times the square root of 3."""
    before: Tensor
    """``(L,)``: correlation along each line that counts, at the headers' positions."""
    after: Tensor
    """``(L,)``: the same, after the correction."""


def breath_hold_shifts(images: Sequence[Tensor], affines: Tensor, thickness: Tensor) -> BreathHolds:
    """Translations of images that make their intensities agree along all lines of intersection.

    The shifts ``d`` minimise ``n/2 sum_l log(1 - c_l) + |d|^2 / (2 s^2)``, with the correlation ``c_l`` of line l and n
    independent points on it. The first term is the likelihood of two profiles that are linear functions of each other
    up to normal noise, where each line has its own gain, offset and noise; so a line that does not fit has little
    weight. The spread s of the shifts is estimated from the exam itself (expectation maximisation), so images that are
    already aligned are left alone. The minimum is found by damped Gauss-Newton steps, from blurred to sharp images.

    Args:
        images: images of one phase, ``(I, J)`` each.
        affines: ``(N, 4, 4)``, voxel indices to patient space, RAS+, mm.
        thickness: thickness of the slices, ``(N,)``, mm. A thick slice is compared with the other image's mean over
            that thickness.

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
    """``(L,)``, whether enough of the line lies on both images"""


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
        # three equations for a point on both planes at the heart's height; shifts change only their right-hand sides
        self.solve = torch.linalg.inv(torch.stack([a, b, self.direction], dim=1))
        self.moved_by = [
            self.solve[:, :, 0, None] * a[:, None],
            self.solve[:, :, 1, None] * b[:, None],
        ]
        self.centre = self._common_point(affines)
        self.along = torch.arange(-REACH, REACH + STEP / 2, STEP, dtype=torch.float64)

    def _common_point(self, affines: Tensor) -> Tensor:
        """The point nearest to all planes, ``(3,)``; in directions that the planes do not determine, the middle of the
        images.
        """
        middles = torch.einsum("nab,nb->na", affines[:, :3, :2], (self.sizes - 1) / 2) + self.origins
        middle = middles.mean(dim=0)
        apart = ((self.origins - middle) * self.normals).sum(dim=-1)
        return middle + torch.linalg.pinv(self.normals, rtol=0.1) @ apart

    def compare(self, pictures: Tensor, shifts: Tensor) -> _Compared:
        """Profiles along all lines, with images moved by ``shifts``."""
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
        """Values of images ``of`` at points ``(L, T, 3)``, their derivatives in patient space ``(L, T, 3)``, and whether the
        points lie on the images; means over the thickness of the images ``other``."""
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
    """Images and their derivatives along i and j, ``(N, 3, I, J)``, padded with zeros to one size."""
    from scipy.ndimage import (
        gaussian_filter,
    )  # here, because `planewise index` imports this room and should not wait for it

    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    pictures = []
    for image, affine in zip(images, affines, strict=True):
        spacing = affine[:3, :2].norm(dim=0).numpy()
        values = gaussian_filter(image.numpy().astype(np.float64), blur / spacing, mode="nearest")
        three = torch.from_numpy(np.stack([values, *np.gradient(values)]))
        pictures.append(pad(three, (0, width - values.shape[1], 0, height - values.shape[0])))
    return torch.stack(pictures)


def _normalised(profile: Tensor, slope: Tensor, on: Tensor) -> tuple[Tensor, Tensor]:
    """Profiles ``(L, T)`` of mean zero and length one over the points ``on``, and their derivatives ``(L, T, 6)``."""
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
    """Shifts ``(N, 3)`` after damped Gauss-Newton steps, and the Hessian ``(3N, 3N)`` there."""
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
    """Standard deviation ``(N,)`` of the shifts, mm, without their common part."""
    apart = torch.kron(torch.eye(count, dtype=torch.float64) - 1 / count, torch.eye(3, dtype=torch.float64))
    covariance = apart @ torch.linalg.inv(hessian) @ apart
    return covariance.diagonal().reshape(count, 3).sum(dim=-1).sqrt()
