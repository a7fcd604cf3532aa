"""Planned planes for people: a picture, and a file that 3D Slicer opens."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from planewise.findings import Finding, finding
from planewise.geometry import clip_lines, intersection_lines
from planewise.reports.pretext_figures import VIEW_COLOURS, overlay_heatmaps
from planewise.reports.slices import stack_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Views of the heart, which moves.
_MOVING = {"2ch", "3ch", "4ch"}
_SLICER_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)


def plane_in_words(view: Mapping[str, Any], plan: Mapping[str, Any]) -> list[str]:
    """Notes on a planned plane, ``view``, an entry of a plan from `planewise.evaluation.PlanViewsd`: its error bounds,
    and the slices and phases that disagree with it, as parts of a sentence; empty if there is no plane."""
    return [*bounds_in_words(view, plan), *map(str, disagreements(view))]


def bounds_in_words(view: Mapping[str, Any], plan: Mapping[str, Any]) -> list[str]:
    """The part of `plane_in_words` on error bounds; for arguments see there."""
    words = []
    if view["within_deg"] is not None and view["within_mm"] is not None:
        words.append(
            f"90 % error bounds {view['within_deg']:.1f} deg and {view['within_mm']:.1f} mm "
            f"(measured on {plan['bounds_measured_on']})"
        )
        if "phases" not in plan and not _MOVING.isdisjoint(plan["views"]):
            words.append("from one phase: the bounds do not include the heart's motion")
    return words


def disagreements(entry: Mapping[str, Any], subject: str = "") -> list[Finding]:
    """Findings on the slices and phases that disagree with a plane, an entry of the plan, or have none; their subject is the
    view's name."""
    found = []
    for key, kind in (
        ("slices_that_disagree", "disagree"),
        ("slices_without_a_line", "no-line"),
        ("phases_that_disagree", "disagree"),
        ("phases_without_a_plane", "no-plane"),
    ):
        if names := [f"slice {each}" if key.startswith("slices") else each for each in entry.get(key) or ()]:
            found.append(finding("plane-disagrees", subject, kind=kind, names=names, count=len(names)))
    return found


def planned_views_figure(
    image: np.ndarray, heatmaps: np.ndarray, affines: torch.Tensor, plan: Mapping[str, Any], exam: str
) -> Figure:
    """The slices of a stack with predicted heatmaps and the lines of the planned planes.

    Args:
        image: ``(i, j, slices)``, preprocessed.
        heatmaps: ``(views, i, j, slices)``, on the same grid.
        affines: affines of the slices, ``(slices, 4, 4)``, RAS+, mm.
        plan: plan from `planewise.evaluation.PlanViewsd`.
        exam: the exam's hash.
    """

    def draw(axes: Axes, number: int) -> None:
        overlay_heatmaps(axes, heatmaps[..., number])
        if "locations" in plan:
            axes.set_title(f"slice {number + 1}: location {plan['locations'][number]:.2f}", fontsize=10)
        for view, colour in zip(plan["views"].values(), cycle(VIEW_COLOURS), strict=False):
            if view["origin"] is None:
                continue
            plane = torch.tensor([view["origin"], view["normal"]], dtype=torch.float64)
            ends = clip_lines(intersection_lines(affines[number], plane[0], plane[1]), image.shape[:2])
            axes.plot(ends[:, 0], ends[:, 1], "--", color=colour, lw=1.2)

    lines = []
    for name, view in plan["views"].items():
        said = "; ".join(view["reasons"] or plane_in_words(view, plan))
        lines.append(f"{name}: {view['verdict']}" + f" ({said})" * bool(said))
    title = f"Exam {exam}. {plan['note']}\n" + "\n".join(lines)
    return stack_figure(image, draw, title, (list(plan["views"]), VIEW_COLOURS))


def slicer_markups(plan: Mapping[str, Any], size: float = 200.0) -> dict[str, Any]:
    """The trusted planes as 3D Slicer markups (a ``.mrk.json`` file), squares of ``size`` mm, in Slicer's LPS. The
    description of a plane's point has its error bounds and remarks."""
    markups = []
    for channel, (name, view) in enumerate(plan["views"].items()):
        if view["origin"] is None:
            continue
        origin, normal = (np.array(view[key]) * (-1, -1, 1) for key in ("origin", "normal"))
        # any two in-plane axes are suitable
        across = np.cross(normal, (1, 0, 0) if abs(normal[0]) < 0.8 else (0, 1, 0))
        across /= np.linalg.norm(across)
        colour = [value / 255 for value in bytes.fromhex(VIEW_COLOURS[channel % len(VIEW_COLOURS)].removeprefix("#"))]
        base = np.eye(4)
        base[:3, :3] = np.column_stack([across, np.cross(normal, across), normal])
        base[:3, 3] = origin
        markups.append(
            {
                "type": "Plane",
                "name": f"{name}, planned, research only",
                "coordinateSystem": "LPS",
                "coordinateUnits": "mm",
                "planeType": "pointNormal",
                "sizeMode": "absolute",
                "size": [size, size, 0.0],
                "planeBounds": [-size / 2, size / 2, -size / 2, size / 2],
                "objectToBase": np.eye(4).ravel().tolist(),
                "baseToNode": base.ravel().tolist(),
                "controlPoints": [
                    {
                        "id": "1",
                        "label": name,
                        "description": "; ".join(plane_in_words(view, plan)),
                        "position": origin.tolist(),
                        "positionStatus": "defined",
                    }
                ],
                "display": {"color": colour, "selectedColor": colour},
            }
        )
    return {"@schema": _SLICER_SCHEMA, "markups": markups}
