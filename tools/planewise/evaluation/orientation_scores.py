"""Scores of relative orientation, for `PretextReport`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from planewise.data.select_items import cycle_fraction
from planewise.evaluation.joint_plan import bounds_of_planes
from planewise.evaluation.report import CollectorResults, ScoredBatch
from planewise.geometry import (
    SliceLines,
    find_lines,
    line_centres,
    line_errors,
    pixels_to_patient,
    plan_planes,
    plane_errors,
)
from planewise.phases import nearest_phase
from planewise.reports.pretext_figures import VIEW_COLOURS, overlay_heatmaps
from planewise.reports.slices import prediction_figure
from planewise.reports.tables import percentile, summary

#: The columns of ``planes.csv`` with a plane's trust values, and the attribute of `PlannedPlane` in each.
_TRUST = {
    "residual_mm": "residual",
    "spread_deg": "spread",
    "agreement": "agreement",
    "peak": "peak",
    "slices": "slices",
    "angle_sd_deg": "angle_sd",
    "offset_sd_mm": "offset_sd",
}


@dataclass(eq=False, repr=False)
class OrientationScores:
    """A `Collector` of the heatmaps in the network's first channels.

    - ``metrics.json``: ``orientation``: the mean squared error of the heatmaps, and for each view: the angle (deg) and
      distance (mm) of the lines and of the 3D planes fitted to the stacks; the number of lines that were not found;
      ``trust``: bounds that 99 of 100 of these stacks satisfy, from which to choose the limits of `PlanViewsd`; and
      ``bounds``: the planes' 90 % error bounds, for the argument ``plane_bounds`` of `PlanViewsd` (null for fewer than
      9 planes);
    - ``slices.csv``: for each view, the line's angle, distance and agreement;
    - ``planes.csv``: for each stack, phase and view, the plane's errors and trust values (`PlannedPlane`);
    - ``heatmaps.png``: the examples, as in Figs. 4 and 5 of Zhang 2024.

    Targets contain ``heatmaps`` ``(B, views, i, j)``, ``lines`` ``(B, views, 3)``, ``affine`` ``(B, 4, 4)`` and ``planes``
    ``(B, views, 2, 3)``.

    Args:
        views: names of the heatmap channels.
        sigma: standard deviation of the heatmaps' ridges, pixels.
        phases: fractions of the cycle at which a stack's planes are fitted; each slice contributes its nearest phase.
            0 is end-diastole, 0.4 about end-systole; use ``[0]`` for organs that do not move.
    """

    views: Sequence[str]
    sigma: float = 6.0
    phases: Sequence[float] = (0.0, 0.4)

    def take(self, batch: ScoredBatch) -> dict[str, Tensor]:
        target = batch.target
        heatmaps = batch.prediction[:, : len(self.views)]
        found = find_lines(heatmaps, self.sigma)
        taken = {"lines": found.lines, "agreement": found.agreement, "peak": found.peak}
        taken |= {"true_lines": target["lines"], "affine": target["affine"], "planes": target["planes"]}
        taken["heatmap_mse"] = (heatmaps - target["heatmaps"]).square().mean(dim=(2, 3))
        taken |= {"example": batch.example, "image": batch.image[batch.example, 0]}
        return taken | {
            "predicted": heatmaps[batch.example].float(),
            "reference": target["heatmaps"][batch.example],
        }

    def results(self, taken: Mapping[str, Tensor], items: Sequence[Mapping[str, Any]], title: str) -> CollectorResults:
        # the shape of the slices' common grid, which is known without examples, too
        shape = (taken["image"].shape[1], taken["image"].shape[2])
        angle, distance = line_errors(taken["lines"], taken["true_lines"], taken["affine"][:, None], shape)
        angle = torch.rad2deg(angle)
        known = torch.isfinite(taken["true_lines"]).all(dim=-1)
        planes = list(self._planes(taken, items, shape))
        table = {key: [plane[key] for plane in planes] for key in planes[0]}
        bounds = bounds_of_planes(table)
        scores: dict[str, Any] = {"heatmap_mse": float(taken["heatmap_mse"].nanmean()), "views": {}}
        columns: dict[str, Sequence[Any]] = {}
        for channel, view in enumerate(self.views):
            columns[f"{view}_angle_deg"] = angle[:, channel].tolist()
            columns[f"{view}_distance_mm"] = distance[:, channel].tolist()
            columns[f"{view}_agreement"] = taken["agreement"][:, channel].tolist()
            of_view = [plane for plane in planes if plane["view"] == view]
            scores["views"][view] = {
                "line_angle_deg": summary(angle[:, channel].tolist()),
                "line_distance_mm": summary(distance[:, channel].tolist()),
                "lines_not_found": int((known[:, channel] & ~torch.isfinite(angle[:, channel])).sum()),
                "plane_angle_deg": summary([plane["angle_deg"] for plane in of_view]),
                "plane_offset_mm": summary([plane["offset_mm"] for plane in of_view]),
                "trust": {
                    name: percentile([plane[name] for plane in of_view], rank)
                    for name, rank in (("peak", 1), ("agreement", 1), ("residual_mm", 99), ("spread_deg", 99))
                },
                "bounds": bounds[view],
            }
        shown = [items[row] for row in taken["example"].nonzero()[:, 0].tolist()]
        captions = [f"{item['exam'][:4]} phase {cycle_fraction(item):.2f}" for item in shown]
        arrays = [taken[key].numpy() for key in ("image", "predicted", "reference")]
        draw = partial(prediction_figure, *arrays, captions, overlay_heatmaps, self.views, VIEW_COLOURS)
        figures = {"heatmaps.png": draw} if shown else {}
        return CollectorResults({"orientation": scores}, columns, {"planes.csv": table}, figures)

    def _planes(
        self, taken: Mapping[str, Tensor], items: Sequence[Mapping[str, Any]], shape: tuple[int, int]
    ) -> Iterator[dict[str, Any]]:
        """One row per exam, stack, phase and view."""
        stacks: dict[tuple[str, str], dict[Any, list[int]]] = defaultdict(lambda: defaultdict(list))
        for row, item in enumerate(items):
            stacks[item["exam"], item.get("stack", "")][item.get("slice", row)].append(row)
        for (exam, stack), slices in stacks.items():
            for phase in self.phases:
                chosen = [
                    candidates[nearest_phase([cycle_fraction(items[row]) for row in candidates], phase)]
                    for candidates in slices.values()
                ]
                found = SliceLines(taken["lines"][chosen], taken["agreement"][chosen], taken["peak"][chosen])
                affines = taken["affine"][chosen]
                planned = plan_planes(found, affines, shape, self.views)
                at = pixels_to_patient(line_centres(taken["true_lines"][chosen], shape), affines).mean(dim=0)
                for channel, plane in enumerate(planned):
                    origin, normal = taken["planes"][chosen[0], channel]
                    angle, offset = plane_errors(plane.origin, plane.normal, origin, normal, at)
                    which = {"exam": exam, "stack": stack, "phase": phase, "view": plane.view}
                    errors = {"angle_deg": angle, "offset_mm": offset}
                    yield which | errors | {column: getattr(plane, name) for column, name in _TRUST.items()}
