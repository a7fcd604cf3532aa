"""When planes that were fitted to heatmaps are not to be trusted, and why: the limits of view planning, in words."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from planewise.geometry import nearest_body_axis, plane_from_affine
from planewise.geometry.locations import USUAL_LONG_AXIS

#: What slices across the body's axes are called: left-right, anterior-posterior, foot-head.
_ACROSS = ("sagittal", "coronal", "axial")
#: A short axis is at least this oblique in the body, degrees, where nobody says otherwise.
SHORT_AXIS_OBLIQUITY = 15.0
#: The long axis of a left ventricle is at most this far from its usual direction, degrees: hearts lie within 35 of it, and
#: the rest is for the stack's own tilt. Of 600 phantoms the farthest is 27, of stacks that are turned by 16 to 30 degrees
#: from the body's planes, 70 % are farther than the limit.
OFF_AXIS = 45.0


def why_no_plane(
    *,
    peak: float,
    agreement: float,
    residual: float,
    spread: float,
    min_peak: float,
    min_agreement: float,
    max_residual: float,
    max_spread: float,
) -> list[str]:
    """Reasons against a plane from how well the heatmaps agree with it; none if it is to be trusted.

    Args:
        peak, agreement, residual, spread: as of `planewise.geometry.PlannedPlane`. What is not known (NaN) is a reason.
        min_peak, min_agreement, max_residual, max_spread: as of `PlanViewsd`.
    """
    judged = (
        ("peak", peak, peak >= min_peak, f"at least {min_peak:g}"),
        ("agreement", agreement, agreement >= min_agreement, f"at least {min_agreement:g}"),
        ("residual", residual, residual <= max_residual, f"at most {max_residual:g}"),
        ("spread", spread, spread <= max_spread, f"at most {max_spread:g}"),
    )
    return [
        f"{name} {'not known' if math.isnan(value) else f'{value:.2f}'}, {limit} is needed"
        for name, value, kept, limit in judged
        if not kept
    ]


def why_no_short_axis(obliquity: float, across: str, min_obliquity: float, off_axis: float = 0.0) -> list[str]:
    """Reasons against a stack as a heart's short axis, from the direction of its slices alone.

    Args:
        obliquity, across: as `stack_obliquity` gives them.
        min_obliquity: the smallest obliquity of a short axis, degrees; 0 asks nothing.
        off_axis: as `degrees_off_axis` gives it.
    """
    if min_obliquity <= 0:
        return []
    if obliquity >= min_obliquity:
        if off_axis <= OFF_AXIS:
            return []
        return [
            f"the slices' normal lies {off_axis:.0f} deg from the long axis of hearts (left, front and down), at most "
            f"{OFF_AXIS:g} is needed; if the heart is on the right, or the file's orientation is wrong, use --min_obliquity 0"
        ]
    return [
        f"the slices lie {obliquity:.1f} deg from {across}, and a heart's short axis lies oblique in the body, by "
        f"{min_obliquity:g} deg at least; if the file's header has lost its orientation (as in ACDC), use --min_obliquity 0"
    ]


def degrees_off_axis(affines: Tensor) -> float:
    """Degrees between a stack's normal and the usual long axis of a left ventricle, 0 to 90; the middle one of the slices'.

    Args:
        affines: as of `stack_obliquity`.
    """
    usual = torch.tensor(USUAL_LONG_AXIS, dtype=torch.float64)
    cosines = (plane_from_affine(affines)[1].to(torch.float64) @ usual).abs().clamp(max=1.0)
    return math.degrees(math.acos(float(cosines.median())))


def stack_obliquity(affines: Tensor) -> tuple[float, str]:
    """How far a stack is turned away from the sagittal, coronal or axial plane, whichever is nearest.

    Args:
        affines: of its slices, shape ``(slices, 4, 4)``, RAS+, mm.

    Returns:
        degrees, 0 to 54.7, of the middle one of the slices' angles; and the name of that plane.
    """
    angle, axis = nearest_body_axis(plane_from_affine(affines)[1])
    middle = angle.median(dim=0)
    return math.degrees(float(middle.values)), _ACROSS[int(axis[middle.indices])]
