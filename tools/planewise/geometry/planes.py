"""Planes and affines, the relative location of a slice in its stack, and the direction of the stack in the body."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from planewise.geometry.tolerances import AXIS_MARGIN, MIN_BASE_APEX_COSINE, MIN_SPACING


def check_affine(affine: Tensor) -> None:
    """Raise an error if an affine, voxel indices to patient space, shape ``(..., 4, 4)``, mm, cannot belong to a slice.

    Raises:
        ValueError: the shape is wrong, an entry is not finite, a spacing is zero, or the in-plane axes are parallel.
    """
    affine = torch.as_tensor(affine, dtype=torch.float64)
    if affine.shape[-2:] != (4, 4):
        raise ValueError(f"an affine must have shape (..., 4, 4), got {tuple(affine.shape)}")
    if not torch.isfinite(affine).all():
        raise ValueError("the affine contains values that are not finite")
    u, v = affine[..., :3, 0], affine[..., :3, 1]
    spacing = torch.stack([u.norm(dim=-1), v.norm(dim=-1)])
    if (spacing < MIN_SPACING).any():
        raise ValueError(
            f"the pixel spacing is zero (smallest {spacing.min():g} mm); the header must contain PixelSpacing"
        )
    sine = torch.linalg.cross(u, v).norm(dim=-1) / spacing.prod(dim=0)
    if (sine < 0.1).any():
        raise ValueError("the image's rows and columns are parallel, so its orientation in the header must be wrong")


def plane_from_affine(affine: Tensor) -> tuple[Tensor, Tensor]:
    """The plane of a slice.

    Args:
        affine: shape ``(..., 4, 4)``, RAS+, mm.

    Returns:
        origin: the centre of voxel ``(0, 0)``, shape ``(..., 3)``, mm.
        normal: unit normal, shape ``(..., 3)``, along the cross product of the first two axes (for DICOM: of the row
            and column directions). NaN if the affine is degenerate; `check_affine` gives the reason.
    """
    affine = torch.as_tensor(affine, dtype=torch.float64)
    cross = torch.linalg.cross(affine[..., :3, 0], affine[..., :3, 1])
    return affine[..., :3, 3], cross / cross.norm(dim=-1, keepdim=True)


def affine_inverse(affine: Tensor) -> Tensor:
    """The inverse of an affine, from patient space to voxel indices, ``(..., 4, 4)``, float64; not finite if the three axes
    lie in one plane (`check_affine`). It is computed in closed form, because ``torch.linalg.inv`` would wait for the GPU.
    """
    affine = affine.to(torch.float64)
    u, v, w, origin = affine[..., :3, :].unbind(dim=-1)
    rows = torch.stack([torch.linalg.cross(first, second) for first, second in ((v, w), (w, u), (u, v))], dim=-2)
    rows = rows / (u * rows[..., 0, :]).sum(dim=-1)[..., None, None]
    top = torch.cat([rows, -(rows @ origin[..., None])], dim=-1)
    return torch.cat([top, affine[..., 3:, :]], dim=-2)


def angle_between_planes(normal: Tensor, other: Tensor) -> Tensor:
    """Angle between planes with unit normals ``(..., 3)``: radians in [0, pi/2], independent of the normals' signs."""
    # atan2 of sine and cosine, because arccos loses half of its digits near zero
    sine = torch.linalg.cross(normal, other).norm(dim=-1)
    return torch.atan2(sine, (normal * other).sum(dim=-1).abs())


def square_on_plane(origin: Tensor, normal: Tensor, size: float) -> Tensor:
    """The corners of a square on a plane, in order around the square, ``(..., 4, 3)``, RAS+, mm. Two sides lie in axial
    planes, unless the plane itself is nearly axial.

    Args:
        origin: the square's middle, shape ``(..., 3)``, RAS+, mm.
        normal: unit normal, shape ``(..., 3)``.
        size: side, mm.
    """
    head = torch.tensor([0.0, 0.0, 1.0], dtype=normal.dtype)
    front = torch.tensor([0.0, 1.0, 0.0], dtype=normal.dtype)
    upright = (normal @ head).abs()[..., None] < 0.9  # a cross product of nearly parallel vectors is inaccurate
    across = torch.linalg.cross(torch.where(upright, head, front).expand_as(normal), normal)
    across = across / across.norm(dim=-1, keepdim=True)
    along = torch.linalg.cross(normal, across)
    around = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]], dtype=normal.dtype) * size / 2
    return origin[..., None, :] + around[:, :1] * across[..., None, :] + around[:, 1:] * along[..., None, :]


def signed_distance(point: Tensor, origin: Tensor, normal: Tensor) -> Tensor:
    """Distance (mm) of points ``(..., 3)`` from planes, positive on the side to which the unit normal points."""
    return ((point - origin) * normal).sum(dim=-1)


def fit_plane(points: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Fit a plane to points by weighted least squares.

    Args:
        points: shape ``(..., N, 3)``, N >= 3, mm.
        weights: shape ``(..., N)``, not negative; by default, all weights are 1.

    Returns:
        origin: weighted mean of the points, ``(..., 3)``.
        normal: unit normal, ``(..., 3)``.
        residual: weighted root mean square distance of the points from the plane, ``(...)``, mm.
    """
    points = torch.as_tensor(points, dtype=torch.float64)
    weights = torch.ones_like(points[..., 0]) if weights is None else weights.to(points)
    weights = weights / weights.sum(dim=-1, keepdim=True)
    origin = (weights[..., None] * points).sum(dim=-2)
    centred = points - origin[..., None, :]
    scatter = torch.einsum("...n,...na,...nb->...ab", weights, centred, centred)
    eigenvalues, eigenvectors = torch.linalg.eigh(scatter)
    return origin, eigenvectors[..., :, 0], eigenvalues[..., 0].clamp_min(0).sqrt()


#: Usual direction of the left ventricle's long axis from base to apex, RAS+: to the left, anterior and inferior.
USUAL_LONG_AXIS = (-1 / math.sqrt(3), 1 / math.sqrt(3), -1 / math.sqrt(3))
#: Names of slices across the body's axes: left-right, anterior-posterior, foot-head.
_ACROSS = ("sagittal", "coronal", "axial")


def relative_locations(origins: Tensor, normal: Tensor) -> Tensor:
    """Zhang 2024 Eq. (3): ``l_i = d(s_i, s_1) / d(s_N, s_1)``, distances along the stack's normal.

    Args:
        origins: a point of each slice, shape ``(..., N, 3)``, in the order of the stack, mm.
        normal: unit normal of the stack, shape ``(..., 3)``; its sign does not matter.

    Returns:
        Locations in [0, 1], shape ``(..., N)``; NaN if the stack has no extent.
    """
    position = (torch.as_tensor(origins, dtype=torch.float64) * torch.as_tensor(normal)[..., None, :]).sum(dim=-1)
    depth = (position - position[..., :1]).abs()
    return depth / depth[..., -1:]


def centrosymmetric(locations: Tensor) -> Tensor:
    """Zhang 2024 Eq. (4): ``sin(pi l)``, where l is the location of Eq. (3). It is the target for stacks that are
    symmetric about their centre."""
    return torch.sin(math.pi * locations)


def location_order(locations: Tensor, mapping: Literal["linear", "sine"] = "linear") -> float:
    """Measure how well the predicted locations of a stack's slices follow the expected order.

    Args:
        locations: shape ``(N,)``.
        mapping: mapping of the target: ``"linear"`` (Eq. 3) runs from one end to the other, and the stack may begin at
            either end; ``"sine"`` (Eq. 4) rises to the middle and falls again.

    Returns:
        Spearman's rank correlation with evenly spaced slices, -1 to 1; NaN for fewer than three or equal locations.
    """
    locations = torch.as_tensor(locations, dtype=torch.float64)
    if len(locations) < 3 or locations.isnan().any():
        return math.nan
    even = torch.linspace(0, 1, len(locations), dtype=torch.float64)
    # the targets are rounded, so that two slices at equal distances from the middle have equal targets
    expected = centrosymmetric(even).round(decimals=9) if mapping == "sine" else even
    # not SciPy's spearmanr, because importing it takes half a second
    return float(torch.corrcoef(torch.stack([_ranks(expected), _ranks(locations)]))[0, 1])


def _ranks(values: Tensor) -> Tensor:
    """The rank of each value, 1 to N; equal values share their mean rank."""
    _, place, counts = torch.unique(values, return_inverse=True, return_counts=True)
    return (counts.cumsum(0) - (counts.double() - 1) / 2)[place]


def order_strength(order: float, mapping: Literal["linear", "sine"] = "linear") -> float:
    """How strongly an order from `location_order` indicates that the stack shows the organ. The sign of a linear order
    does not matter, because the stack may begin at either end."""
    return abs(order) if mapping == "linear" else order


def base_to_apex(normal: Tensor) -> Tensor:
    """The direction from the base of the left ventricle to its apex, along a short-axis stack's normal.

    Rule: from base to apex, the left ventricle points to the left, anterior and inferior. The direction of the normal nearer
    to this one is taken, if the cosine of the angle between them is at least `MIN_BASE_APEX_COSINE`. Limits: for a heart in
    the right chest (dextrocardia), it is reversed or undecided; an oblique stack that is no short axis may be accepted.

    Args:
        normal: unit normal, shape ``(..., 3)``, RAS+, either sign.

    Returns:
        Unit vector, shape ``(..., 3)``, RAS+; NaN if undecided.
    """
    normal = torch.as_tensor(normal, dtype=torch.float64)
    cosine = (normal * torch.tensor(USUAL_LONG_AXIS, dtype=torch.float64, device=normal.device)).sum(dim=-1)
    oriented = normal * torch.sign(cosine)[..., None]
    return torch.where((cosine.abs() >= MIN_BASE_APEX_COSINE)[..., None], oriented, torch.nan)


def to_left_front_or_head(normal: Tensor) -> Tensor:
    """Orient the normal of a stack of any organ towards the patient's left, front or head.

    Rule: along the body axis nearest to the normal, the direction points to the left, to the front or to the head. If another
    axis is equally near, within `AXIS_MARGIN`, and would reverse the direction, it is undecided: two exams that differ by a
    few degrees could count their slices from opposite ends.

    Args:
        normal: unit normal, shape ``(..., 3)``, RAS+, either sign.

    Returns:
        Unit vector, shape ``(..., 3)``, RAS+; NaN if undecided.
    """
    normal = torch.as_tensor(normal, dtype=torch.float64)
    along = normal * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64, device=normal.device)
    angle = along.abs().clamp(max=1.0).acos()
    nearest = angle.argmin(dim=-1, keepdim=True)
    sign = torch.where(along.gather(-1, nearest) < 0, -1.0, 1.0).to(normal)
    turned = (angle < angle.gather(-1, nearest) + AXIS_MARGIN) & (along * sign < 0)
    return torch.where(turned.any(dim=-1, keepdim=True), torch.nan, sign * normal)


def degrees_off_axis(affines: Tensor) -> float:
    """Angle between the normal of a stack's slices ``(slices, 4, 4)`` and the usual long axis of a left ventricle, 0 to 90
    degrees; the median over the slices."""
    usual = torch.tensor(USUAL_LONG_AXIS, dtype=torch.float64)
    cosines = (plane_from_affine(affines)[1].to(torch.float64) @ usual).abs().clamp(max=1.0)
    return math.degrees(math.acos(float(cosines.median())))


def stack_obliquity(affines: Tensor) -> tuple[float, str]:
    """The angle between a stack's slices ``(slices, 4, 4)`` and the nearest sagittal, coronal or axial plane, 0 to 54.7
    degrees, the median over the slices; and the name of that plane."""
    normals = plane_from_affine(affines)[1]
    # torch.linalg.cross requires equal numbers of dimensions
    axes = torch.eye(3, dtype=torch.float64).expand(*normals.shape, 3)
    angle, axis = angle_between_planes(normals[:, None], axes).min(dim=-1)
    middle = angle.median(dim=0)
    return math.degrees(float(middle.values)), _ACROSS[int(axis[middle.indices])]
