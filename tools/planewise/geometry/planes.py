"""Planes and affines. A plane is an origin (mm) and a unit normal, both ``(..., 3)``, RAS+."""

from __future__ import annotations

import torch
from torch import Tensor

from planewise.geometry.tolerances import MIN_SPACING


def check_affine(affine: Tensor) -> None:
    """Raise an error if an affine, voxel indices to patient space, shape ``(..., 4, 4)``, mm, cannot belong to a slice.

    Raises:
        ValueError: the shape is wrong, an entry is not finite, a pixel spacing is zero, or the two in-plane axes are
            (nearly) parallel.
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


def nearest_body_axis(normal: Tensor) -> tuple[Tensor, Tensor]:
    """Find the body axis nearest to the normal of a plane.

    Args:
        normal: unit normals, shape ``(..., 3)``, RAS+; their signs do not matter.

    Returns:
        angle: angle between the normal and the nearest body axis, shape ``(...)``, radians in [0, acos(1 / sqrt(3))].
        axis: the nearest axis, shape ``(...)``: 0 left-right, 1 anterior-posterior, 2 foot-head.
    """
    normal = torch.as_tensor(normal, dtype=torch.float64)
    axes = torch.eye(3, dtype=torch.float64, device=normal.device)
    # torch.linalg.cross requires equal numbers of dimensions
    angles = angle_between_planes(normal[..., None, :], axes.expand(*normal.shape, 3))
    angle, axis = angles.min(dim=-1)
    return angle, axis


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
