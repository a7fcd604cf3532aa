"""Compare the planes that a phantom's technologist prescribes with those that follow from its anatomy, and check the error
bounds of planned planes on other phantoms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from planewise.data.datalist import rows_by_exam
from planewise.errors import InputError
from planewise.evaluation.joint_plan import ERRORS, why_no_plane
from planewise.geometry import Bound, plane_errors

#: The criteria for trusting a plane, and their columns in ``planes.csv``.
_TRUST = {"peak": "peak", "agreement": "agreement", "residual": "residual_mm", "spread": "spread_deg"}


def technologist_errors(laid: Mapping[str, Any], anatomy: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Median errors over exams. The differences are measured like a network's errors: at the heart, where the planes of
    the first two views cross the middle slice of the stack.

    Args:
        laid: a datalist of phantoms, as its sections with their items. The planes have the technologist's errors.
        anatomy: the same exams without errors; further exams are ignored.

    Returns:
        Maps each view to ``plane_angle_deg`` and ``plane_offset_mm``.

    Raises:
        InputError: an exam of ``laid`` is not in ``anatomy``.
    """
    true = _middle_items(anatomy)
    errors: dict[str, list[tuple[float, float]]] = {}
    for exam, item in _middle_items(laid).items():
        if exam not in true:
            raise InputError(
                f"exam {exam} has no phantom with planes from its anatomy; make both data sets with the same seeds"
            )
        at = _crossing(true[exam])
        for view, plane in item["planes"].items():
            both = plane, true[exam]["planes"][view]
            pair = [torch.tensor(one[key], dtype=torch.float64) for one in both for key in ("origin", "normal")]
            errors.setdefault(view, []).append(plane_errors(*pair, at))
    return {
        view: dict(zip(("plane_angle_deg", "plane_offset_mm"), np.median(found, axis=0).tolist(), strict=True))
        for view, found in errors.items()
    }


def _middle_items(content: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Mapping[str, Any]]:
    items = [item for section in content.values() for item in section]
    return {
        exam: sorted((items[row] for row in rows), key=lambda item: item["slice"])[len(rows) // 2]
        for exam, rows in rows_by_exam(items).items()
    }


def _crossing(item: Mapping[str, Any]) -> torch.Tensor:
    """The point where the first two views' planes cross the slice of an item, ``(3,)``, RAS+, mm."""
    affine = np.asarray(item["affine"], dtype=float)
    planes = [(plane["origin"], plane["normal"]) for plane in list(item["planes"].values())[:2]]
    planes.append((affine[:3, 3], np.cross(affine[:3, 0], affine[:3, 1])))
    normals = np.array([normal for _, normal in planes])
    offsets = [np.dot(normal, origin) for origin, normal in planes]
    return torch.from_numpy(np.linalg.solve(normals, offsets))


def kept_bounds(
    planes: Mapping[str, Sequence[Any]], bounds: Mapping[str, Any], **limits: float
) -> dict[str, dict[str, float | None]]:
    """Check error bounds on planes that were not used to measure them.

    Args:
        planes: columns of ``planes.csv``.
        bounds: error bounds from `planewise.evaluation.joint_plan.bounds_of_planes`.
        limits: limits of `planewise.evaluation.PlanViewsd`, see `why_no_plane`.

    Returns:
        For each view, the numbers of ``planes`` and of ``refused`` ones, and for each bound the share of the others whose
        error is within it (None if all are refused).
    """
    rows = [dict(zip(planes, row, strict=True)) for row in zip(*planes.values(), strict=True)]
    found: dict[str, dict[str, float | None]] = {}
    for view in dict.fromkeys(planes["view"]):
        own = [row for row in rows if row["view"] == view]
        trust = [{name: float(row[column]) for name, column in _TRUST.items()} for row in own]
        kept = [row for row, values in zip(own, trust, strict=True) if not why_no_plane(**values, **limits)]
        found[view] = {"planes": len(own), "refused": len(own) - len(kept)}
        for name, moved in ERRORS.items():
            within = [float(row[name]) <= Bound(*bounds[view][name]).at(float(row[moved])) for row in kept]
            found[view][name] = round(float(np.mean(within)), 4) if within else None
    return found
