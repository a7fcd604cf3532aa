"""Say in words why planes fitted to heatmaps cannot be trusted: which limits of view planning they exceed."""

from __future__ import annotations

import math


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
