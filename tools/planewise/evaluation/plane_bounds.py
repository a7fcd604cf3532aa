"""Error bounds of planned planes, which come with weights as settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch

from planewise.errors import InputError
from planewise.evaluation.why_no_plane import why_no_plane
from planewise.geometry import Bound, calibrated_bound

#: The share of planes for which a bound holds.
KEPT = 0.9
#: A bound's name to its columns of ``planes.csv``: the error, and the jack-knife standard error.
ERRORS = {"angle_deg": "angle_sd_deg", "offset_mm": "offset_sd_mm"}

#: The criteria for a plane, to their columns of ``planes.csv``.
_TRUST = {"peak": "peak", "agreement": "agreement", "residual": "residual_mm", "spread": "spread_deg"}


def bounds_of_planes(planes: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, list[float]] | None]:
    """90 % error bounds for each view, from planes with known errors.

    Args:
        planes: columns of ``planes.csv``, as written by `OrientationScores`.

    Returns:
        View to ``{"angle_deg": [base, factor], "offset_mm": [base, factor]}`` (`planewise.geometry.Bound`); None for a view
        with too few planes.
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
    """How many planes keep bounds that were measured on others, among those that are not "no plane".

    Args:
        planes: columns of ``planes.csv``.
        bounds: from `bounds_of_planes`. min_peak, min_agreement, max_residual, max_spread: limits of `PlanViewsd`. Its
        ``min_order`` and ``min_obliquity`` are
            ignored, because a table of planes has neither locations nor slices.

    Returns:
        View to ``planes``, of which ``refused`` exceed a limit, and the shares of the others for which each bound holds
        (None if there are no others).
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
    """The setting ``plane_bounds`` of an inference config as bounds of each view.

    Raises:
        InputError: it does not have the form of `bounds_of_planes`, with ``measured_on`` next to the views.
    """
    wanted = (
        "plane_bounds must be {measured_on: text, VIEW: {angle_deg: [base, factor], offset_mm: [base, factor]}} "
        "for every view, or null"
    )
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not isinstance(given.get("measured_on"), str):
        raise InputError(f"plane_bounds does not say what it was measured on; {wanted}")
    found: dict[str, dict[str, Bound]] = {}
    for view in views:
        entry = given.get(view)
        pairs = [entry.get(name) for name in ERRORS] if isinstance(entry, Mapping) else [None]
        if not all(map(_pair, pairs)):
            raise InputError(f"plane_bounds has {entry} for {view}; {wanted}")
        found[view] = {name: Bound(*map(float, entry[name])) for name in ERRORS}
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
