"""Whether a planned plane can be trusted, and its error bounds: measure them, check them, and read them from settings that
come with weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch

from planewise.errors import InputError
from planewise.geometry import Bound, calibrated_bound

#: The share of planes whose error is within a bound.
KEPT = 0.9
#: Maps the name of each bound, which is also the column of the error in ``planes.csv``, to the column of the jack-knife
#: standard error.
ERRORS = {"angle_deg": "angle_sd_deg", "offset_mm": "offset_sd_mm"}

#: The criteria for trusting a plane, and their columns in ``planes.csv``.
_TRUST = {"peak": "peak", "agreement": "agreement", "residual": "residual_mm", "spread": "spread_deg"}


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


def bounds_of_planes(planes: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, list[float]] | None]:
    """Calibrate 90 % error bounds for each view on planes with known errors.

    Args:
        planes: columns of ``planes.csv``, as written by `OrientationScores`.

    Returns:
        Maps each view to ``{"angle_deg": [base, factor], "offset_mm": [base, factor]}`` (`planewise.geometry.Bound`); None
        for a view with too few planes.
    """
    found: dict[str, dict[str, list[float]] | None] = {}
    for view, columns in _by_view(planes).items():
        bounds = {name: calibrated_bound(columns[name], columns[moved], KEPT) for name, moved in ERRORS.items()}
        known = all(np.isfinite(value) for bound in bounds.values() for value in bound)
        found[view] = {name: [round(value, 3) for value in bound] for name, bound in bounds.items()} if known else None
    return found


def kept_bounds(
    planes: Mapping[str, Sequence[Any]],
    bounds: Mapping[str, Any],
    *,
    min_peak: float,
    min_agreement: float,
    max_residual: float,
    max_spread: float,
) -> dict[str, dict[str, float | None]]:
    """Check error bounds on planes that were not used to measure them: compute the share of accepted planes within the
    bounds.

    Args:
        planes: columns of ``planes.csv``.
        bounds: error bounds from `bounds_of_planes`.
        min_peak, min_agreement, max_residual, max_spread: limits of `PlanViewsd`. Its ``min_order`` and
            ``min_obliquity`` are ignored, because a table of planes has neither locations nor slices.

    Returns:
        Maps each view to ``planes``, its number of planes; ``refused``, the number of planes that exceed a limit; and,
        for each bound, the share of the remaining planes within it (None if no planes remain).
    """
    found: dict[str, dict[str, float | None]] = {}
    for view, columns in _by_view(planes).items():
        reasons = [
            why_no_plane(
                **dict(zip(_TRUST, row, strict=True)),
                min_peak=min_peak,
                min_agreement=min_agreement,
                max_residual=max_residual,
                max_spread=max_spread,
            )
            for row in zip(*(columns[name].tolist() for name in _TRUST.values()), strict=True)
        ]
        trusted = torch.tensor([not against for against in reasons])
        found[view] = {"planes": len(trusted), "refused": int((~trusted).sum())}
        for name, moved in ERRORS.items():
            limit = torch.tensor([Bound(*bounds[view][name]).at(value) for value in columns[moved].tolist()])
            kept = (columns[name] <= limit)[trusted].double()
            found[view][name] = round(float(kept.mean()), 4) if len(kept) else None
    return found


def checked_bounds(given: Any, views: Sequence[str]) -> dict[str, dict[str, Bound]]:
    """Turn the setting ``plane_bounds`` of an inference config into bounds for each view.

    Raises:
        InputError: the setting does not have the form of `bounds_of_planes`, with ``measured_on`` next to the views.
    """
    wanted = (
        "plane_bounds must be {measured_on: text, VIEW: {angle_deg: [base, factor], offset_mm: [base, factor]}} "
        "for every view, or null"
    )
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not isinstance(given.get("measured_on"), str):
        raise InputError(f"plane_bounds has no text in measured_on; {wanted}")
    found: dict[str, dict[str, Bound]] = {}
    for view in views:
        entry = given.get(view)
        pairs = [entry.get(name) for name in ERRORS] if isinstance(entry, Mapping) else [None]
        if not all(map(_pair, pairs)):
            raise InputError(f"plane_bounds has {entry} for {view}; {wanted}")
        found[view] = {name: Bound(*map(float, entry[name])) for name in ERRORS}
    return found


def phases_apart(joint_bounds: Mapping[str, Any] | None, views: Sequence[str]) -> dict[str, tuple[float, float]]:
    """The ``phases_apart`` of each view in the setting ``joint_bounds``: the distance from the joint plane that 99 of 100
    phases of phantoms do not exceed, degrees and mm. Views without it are left out.

    Raises:
        InputError: a value is not a pair of positive numbers.
    """
    found = {}
    for view in views:
        given = ((joint_bounds or {}).get(view) or {}).get("phases_apart")
        if given is None:
            continue
        if not (_pair(given) and min(given) > 0):
            raise InputError(
                f"joint_bounds has phases_apart {given} for {view}; give [degrees, mm], as python -m "
                "tools.studies.joint_plans prints them, or leave it out"
            )
        found[view] = (float(given[0]), float(given[1]))
    return found


def _pair(value: Any) -> bool:
    numbers = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2
    return numbers and all(
        isinstance(each, Real) and not isinstance(each, bool) and 0 <= each < np.inf for each in value
    )


def _by_view(planes: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, torch.Tensor]]:
    names = [*ERRORS, *ERRORS.values(), *_TRUST.values()]
    views = np.asarray(planes["view"])
    return {
        str(view): {name: torch.tensor(np.asarray(planes[name], dtype=float)[views == view]) for name in names}
        for view in dict.fromkeys(planes["view"])
    }
