"""The relative location of a slice in its stack, Zhang 2024 Eq. (3) and (4), and the direction of the stack in the body."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from planewise.geometry.planes import nearest_body_axis, plane_from_affine
from planewise.geometry.tolerances import AXIS_MARGIN, MIN_BASE_APEX_COSINE

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
        Spearman's rank correlation with the targets of evenly spaced slices, -1 to 1; NaN for fewer than three slices or
        equal locations.
    """
    from scipy.stats import spearmanr  # imported late, so that `planewise index` does not wait for SciPy

    locations = torch.as_tensor(locations, dtype=torch.float64)
    if len(locations) < 3:
        return math.nan
    even = torch.linspace(0, 1, len(locations), dtype=torch.float64)
    # the targets are rounded, so that two slices at equal distances from the middle have equal targets
    expected = centrosymmetric(even).round(decimals=9) if mapping == "sine" else even
    return float(spearmanr(expected.numpy(), locations.numpy()).statistic)


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
    angle, axis = nearest_body_axis(plane_from_affine(affines)[1])
    middle = angle.median(dim=0)
    return math.degrees(float(middle.values)), _ACROSS[int(axis[middle.indices])]
