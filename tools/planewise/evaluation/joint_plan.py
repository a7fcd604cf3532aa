"""Make one plan from all phases of a cine: the mean of their planes, and the phases that disagree with this mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from planewise.geometry import Bound, mean_plane, plane_errors

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
        apart: for each view, the largest usual distance of a phase's plane from the mean, degrees and mm (`phases_apart` of
            `plane_bounds`). The phases of an exam share most of their error, so this is much less than the bounds. With None,
            no phase counts as disagreeing.

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
    within = {
        "within_deg": None if bounds is None else bounds["angle_deg"].at(means["angle_sd_deg"]),
        "within_mm": None if bounds is None else bounds["offset_mm"].at(means["offset_sd_mm"]),
    }
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
        **{name: None if value is None else round(value, 2) for name, value in within.items()},
    }
