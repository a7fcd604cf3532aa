"""Say in words why planes fitted to heatmaps cannot be trusted: which limits of view planning they exceed."""

from __future__ import annotations

import math

from planewise.geometry.tolerances import OFF_AXIS


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
    """Reasons against a plane, from its trust values; an empty list if it can be trusted.

    Args:
        peak, agreement, residual, spread: see `planewise.geometry.PlannedPlane`. An unknown value (NaN) is a reason.
        min_peak, min_agreement, max_residual, max_spread: see `PlanViewsd`.
    """
    judged = (
        ("peak", peak, peak >= min_peak, f"at least {min_peak:g}"),
        ("agreement", agreement, agreement >= min_agreement, f"at least {min_agreement:g}"),
        ("residual", residual, residual <= max_residual, f"at most {max_residual:g}"),
        ("spread", spread, spread <= max_spread, f"at most {max_spread:g}"),
    )
    return [
        f"{name} {'not known' if math.isnan(value) else f'{value:.2f}'}, but must be {limit}"
        for name, value, kept, limit in judged
        if not kept
    ]


def why_no_short_axis(obliquity: float, across: str, min_obliquity: float, off_axis: float = 0.0) -> list[str]:
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
        return [
            f"the slices' normal lies {off_axis:.0f} deg from the long axis of hearts (left, front and down), but "
            f"the limit is {OFF_AXIS:g}; if the heart is on the right, or the file's orientation is wrong, use "
            "--min_obliquity 0"
        ]
    return [
        f"the slices lie {obliquity:.1f} deg from {across}, but a heart's short axis is oblique in the body by"
        f" at least {min_obliquity:g} deg; if the file's header has lost its orientation (as in ACDC), use "
        "--min_obliquity 0"
    ]
