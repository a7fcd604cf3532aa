"""When planes that were fitted to heatmaps are not to be trusted, and why: the limits of view planning, in words."""

from __future__ import annotations

import math

from torch import Tensor

from planewise.geometry import nearest_body_axis, plane_from_affine

#: What slices across the body's axes are called: left-right, anterior-posterior, foot-head.
_ACROSS = ("sagittal", "coronal", "axial")


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


def why_no_short_axis(obliquity: float, across: str, min_obliquity: float) -> list[str]:
    """Reasons against a stack as a heart's short axis, from the direction of its slices alone.

    Args:
        obliquity, across: as `stack_obliquity` gives them.
        min_obliquity: the smallest obliquity of a short axis, degrees; 0 asks nothing.
    """
    if min_obliquity <= 0 or obliquity >= min_obliquity:
        return []
    return [
        f"the slices lie {obliquity:.1f} deg from {across}, and a heart's short axis lies oblique in the body, by "
        f"{min_obliquity:g} deg at least; if the file's header has lost its orientation (as in ACDC), use --min_obliquity 0"
    ]


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
