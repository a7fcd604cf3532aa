"""Whether planned planes can be trusted, their error bounds, and one plan from all phases of a cine: the mean of their
planes, and the phases that disagree with this mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch

from planewise.errors import InputError
from planewise.geometry import Bound, calibrated_bound, mean_plane, plane_errors

#: Weight of the first phase, end-diastole, relative to any other: protocols prescribe the views there.
_FIRST_PHASE = 2.0
#: Added in quadrature to the jack-knife standard error of the normals, for errors that all slices of a phase share, degrees.
_FLOOR_DEG = 1.0
#: Used in place of an unknown standard error, degrees.
_UNKNOWN_DEG = 30.0


def join_phases(
    first: Mapping[str, Any],
    others: Mapping[str, Mapping[str, Any]],
    bounds: Mapping[str, Mapping[str, Bound]],
    apart: Mapping[str, tuple[float, float]] | None = None,
) -> dict[str, dict[str, Any]]:
    """Join the plans of an exam's phases into views, in the form of `PlanViewsd`.

    A plane is the mean of the phases' planes, weighted by the inverse variance of their normals (the jack-knife variance
    plus one square degree); the first phase counts twice. A view has a plane if the first phase or at least half of all
    phases have one.

    Args:
        first: views of the first phase.
        others: maps the name of each other phase to its views.
        bounds: error bounds of such means, in the form of `PlanViewsd`; empty if they are unknown.
        apart: for each view, the largest usual distance of a phase's plane from the mean, degrees and mm (`phases_apart`),
            much less than the bounds, because the phases of an exam share most of their error. With None, no phase
            disagrees.

    Returns:
        The views. Their jack-knife standard errors are means over the phases, with the same weights. ``phases`` is the
        number of phases with a plane; ``phases_that_disagree`` lists the later phases whose own plane is farther from the
        mean than ``apart``, and ``phases_without_a_plane`` lists the phases without a plane.
    """
    usual = apart or {}
    return {view: _joined(view, {"": first, **others}, bounds.get(view), usual.get(view)) for view in first}


def _joined(
    view: str,
    phases: Mapping[str, Mapping[str, Any]],
    bounds: Mapping[str, Bound] | None,
    usual: tuple[float, float] | None,
) -> dict[str, Any]:
    entries = {phase: views[view] for phase, views in phases.items()}
    planes = {phase: entry for phase, entry in entries.items() if entry["origin"] is not None}
    without = [phase for phase in entries if phase and phase not in planes]
    found = {**entries[""], "phases": len(planes), "phases_without_a_plane": without, "phases_that_disagree": []}
    if not planes or ("" not in planes and 2 * len(planes) < len(entries)):
        # the reasons are those of the first phase
        return {**found, **dict.fromkeys(("origin", "normal", "within_deg", "within_mm"))}
    # unknown (None) with fewer than three lines
    deviations = {
        name: torch.tensor([entry[name] if entry[name] is not None else math.nan for entry in planes.values()]).double()
        for name in ("angle_sd_deg", "offset_sd_mm")
    }
    weights = 1 / (_FLOOR_DEG**2 + deviations["angle_sd_deg"].nan_to_num(_UNKNOWN_DEG).square())
    weights *= torch.tensor([_FIRST_PHASE if phase == "" else 1.0 for phase in planes], dtype=torch.float64)
    origins, normals = (
        torch.tensor([entry[key] for entry in planes.values()], dtype=torch.float64) for key in ("origin", "normal")
    )
    origin, normal = mean_plane(origins, normals, weights)
    means = {
        name: float((weights * values).nansum() / weights[~values.isnan()].sum()) for name, values in deviations.items()
    }
    within = within_bounds(bounds, *means.values())
    for phase, one_origin, one_normal in zip(planes, origins, normals, strict=True):
        apart = plane_errors(one_origin, one_normal, origin, normal, at=origin)
        if phase and usual and any(value > limit for value, limit in zip(apart, usual, strict=True)):
            found["phases_that_disagree"].append(phase)
    return found | {
        "verdict": "plane",
        "reasons": [],
        "origin": [round(value, 3) for value in origin.tolist()],
        "normal": [round(value, 5) for value in normal.tolist()],
        **{name: round(value, 2) for name, value in means.items()},
        **within,
    }


def within_bounds(bounds: Mapping[str, Bound] | None, angle_sd: float, offset_sd: float) -> dict[str, float | None]:
    """The error bounds of a plane with these jack-knife standard errors (degrees, mm); None if they are unknown."""
    if bounds is None:
        return {"within_deg": None, "within_mm": None}
    return {
        "within_deg": round(bounds["angle_deg"].at(angle_sd), 2),
        "within_mm": round(bounds["offset_mm"].at(offset_sd), 2),
    }


#: The trust values of a plane, and the name of the limit of each.
LIMITS = {"peak": "min_peak", "agreement": "min_agreement", "residual": "max_residual", "spread": "max_spread"}
#: Maps the name of each bound, which is also the column of the error in ``planes.csv``, to the column of the jack-knife
#: standard error.
ERRORS = {"angle_deg": "angle_sd_deg", "offset_mm": "offset_sd_mm"}


def why_no_plane(**values: float) -> list[str]:
    """Reasons against a plane, from its trust values (`LIMITS`, see `planewise.geometry.PlannedPlane`) and their limits
    (see `PlanViewsd`); an empty list if it can be trusted. An unknown value (NaN) is a reason."""
    reasons = []
    for name, limit in LIMITS.items():
        value, least = values[name], limit.startswith("min")
        if not (value >= values[limit] if least else value <= values[limit]):
            said = "not known" if math.isnan(value) else f"{value:.2f}"
            reasons.append(f"{name} {said}, but must be {'at least' if least else 'at most'} {values[limit]:g}")
    return reasons


def bounds_of_planes(planes: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, list[float]] | None]:
    """Calibrate 90 % error bounds for each view on planes with known errors, the columns of ``planes.csv`` of
    `OrientationScores`: ``{"angle_deg": [base, factor], "offset_mm": [base, factor]}`` (`planewise.geometry.Bound`); None
    for a view with too few planes."""
    found: dict[str, dict[str, list[float]] | None] = {}
    for view in dict.fromkeys(planes["view"]):
        own = np.asarray(planes["view"]) == view
        columns = {name: torch.tensor(np.asarray(planes[name], dtype=float)[own]) for name in chain(*ERRORS.items())}
        bounds = {name: calibrated_bound(columns[name], columns[moved]) for name, moved in ERRORS.items()}
        known = all(np.isfinite(value) for bound in bounds.values() for value in bound)
        found[view] = {name: [round(value, 3) for value in bound] for name, bound in bounds.items()} if known else None
    return found


def checked_bounds(given: Any, views: Sequence[str]) -> dict[str, dict[str, Bound]]:
    """Turn the setting ``plane_bounds`` of an inference config into bounds for each view. An `InputError` says that it
    does not have the form of `bounds_of_planes`, with ``measured_on`` next to the views."""
    if given is None:
        return {}
    try:
        if given["measured_on"]:
            return {view: {name: Bound(*_pair(given[view][name])) for name in ERRORS} for view in views}
    except (KeyError, TypeError, ValueError):
        pass
    raise InputError(
        f"plane_bounds must be {{measured_on: text, VIEW: {{angle_deg: [base, factor], offset_mm: [base, factor]}}}} for "
        f"every view, or null, got {given}"
    )


def phases_apart(joint_bounds: Mapping[str, Any] | None, views: Sequence[str]) -> dict[str, tuple[float, float]]:
    """The ``phases_apart`` of each view in the setting ``joint_bounds``: the distance from the joint plane that 99 of 100
    phases of phantoms do not exceed, degrees and mm. Views without it are left out.
    """
    given = {view: ((joint_bounds or {}).get(view) or {}).get("phases_apart") for view in views}
    return {view: _pair(pair) for view, pair in given.items() if pair is not None}


def _pair(values: Sequence[float]) -> tuple[float, float]:
    first, second = map(float, values)
    if first < 0 or second < 0:
        raise ValueError(f"bounds must be zero or more, got {values}")
    return first, second
