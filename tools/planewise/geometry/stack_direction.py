"""The direction of a stack's slices relative to the body, and to the usual long axis of a heart."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from planewise.findings import Finding, finding
from planewise.geometry.locations import USUAL_LONG_AXIS
from planewise.geometry.planes import nearest_body_axis, plane_from_affine
from planewise.geometry.tolerances import OFF_AXIS

#: Names of slices across the body's axes: left-right, anterior-posterior, foot-head.
_ACROSS = ("sagittal", "coronal", "axial")


def degrees_off_axis(affines: Tensor) -> float:
    """Angle between a stack's normal and the usual long axis of a left ventricle, 0 to 90 degrees; the median over the
    slices.

    Args:
        affines: affines of the slices, ``(slices, 4, 4)``, RAS+, mm.
    """
    usual = torch.tensor(USUAL_LONG_AXIS, dtype=torch.float64)
    cosines = (plane_from_affine(affines)[1].to(torch.float64) @ usual).abs().clamp(max=1.0)
    return math.degrees(math.acos(float(cosines.median())))


def stack_obliquity(affines: Tensor) -> tuple[float, str]:
    """The angle between a stack and the nearest sagittal, coronal or axial plane.

    Args:
        affines: affines of the slices, ``(slices, 4, 4)``, RAS+, mm.

    Returns:
        The median of the slices' angles, 0 to 54.7 degrees; and the name of that plane.
    """
    angle, axis = nearest_body_axis(plane_from_affine(affines)[1])
    middle = angle.median(dim=0)
    return math.degrees(float(middle.values)), _ACROSS[int(axis[middle.indices])]


def why_no_short_axis(obliquity: float, across: str, min_obliquity: float, off_axis: float = 0.0) -> list[Finding]:
    """Reasons why a stack cannot be a heart's short axis, judged only by the direction of its slices.

    Args:
        obliquity, across: from `stack_obliquity`.
        min_obliquity: the smallest obliquity of a short axis, degrees; 0 disables the check.
        off_axis: from `degrees_off_axis`.
    """
    if min_obliquity <= 0:
        return []
    if obliquity >= min_obliquity:
        if off_axis <= OFF_AXIS:
            return []
        return [finding("stack-off-axis", degrees=round(off_axis), limit=OFF_AXIS, kind="off-axis")]
    return [
        finding("stack-off-axis", degrees=round(obliquity, 1), plane=across, limit=min_obliquity, kind="not-oblique")
    ]
