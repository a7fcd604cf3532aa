"""View planning: turn the heatmaps of a stack into the planes of the other views, and write them."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform
from monai.utils import convert_to_tensor

from planewise.evaluation.joint_plan import (
    LIMITS,
    checked_bounds,
    join_phases,
    phases_apart,
    why_no_plane,
    within_bounds,
)
from planewise.evaluation.writers import ExamWriter
from planewise.geometry import PlannedPlane, find_lines, intersection_lines, location_order, order_strength, plan_planes
from planewise.geometry.planes import stack_obliquity
from planewise.preprocessing.exam_name import loaded_name
from planewise.preprocessing.views import wrong_direction
from planewise.reports.planned_views import plane_in_words, planned_views_figure, slicer_markups
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.reports.slices import save_picture
from planewise.reports.tables import json_values, write_json

logger = logging.getLogger(__name__)


@dataclass(eq=False, repr=False)
class PlanViewsd(Transform):
    """Fit the planes of other views to a stack's predicted heatmaps, judge them, and draw their lines as labels.

    Reads ``pred``, the network's channels for a volume ``(C, i, j, slices)``, heatmaps first and, with ``location``,
    the location last; ``image``, the preprocessed volume with its affine; and ``slice_affines`` if slices have their
    own affines. Writes

    - ``pred``: labels ``(1, i, j, slices)``, 0 for background, 1 for the first view's line, 2 for the second's, ...;
      where lines cross, the label of the later view wins. A view that is not trusted has no line.
    - ``heatmaps``: ``(views, i, j, slices)``.
    - ``plan``: a dictionary of plain values, None for unknown numbers: for each view the plane (origin and normal, RAS+
      mm), its trust values, the verdict, and for a plane the slices that disagree with it and its error bounds; the
      relative locations; the obliquity of the stack.

    A view's verdict is "no plane" if a limit is exceeded. The default limits lie between the values under ``trust`` in an
    evaluation on unseen hearts and the values for volumes of a spine; for your own network, run an evaluation.

    Args:
        views: names of the heatmap channels.
        sigma: standard deviation of the heatmaps' ridges, pixels.
        location: whether the last channel is the relative location.
        line_width: width of the drawn lines, mm.
        min_peak, min_agreement: limits for a heatmap's peak, and for its similarity to the heatmap of its fitted line;
            the medians over the slices count.
        mapping: mapping of the location, ``"linear"`` (Zhang 2024 Eq. 3) or ``"sine"`` (Eq. 4).
        min_order: with ``location``, smallest accepted value of `location_order`; with the linear mapping, its absolute
            value counts. None disables the check.
        max_residual: limit for the distance of the slices' lines from the common plane, mm.
        max_spread: limit for the angle between the slices' lines and those of the common plane, degrees.
        min_obliquity: a stack gets no planes if it is closer than this, degrees, to an axial, coronal or sagittal stack, or
            if its normal is far from the long axis of hearts (`wrong_direction`). 0 disables both checks.
        max_slice_distance: a slice disagrees with the common plane if its line is farther from it, mm, root mean square
            within 40 mm of the heart.
        plane_bounds: error bounds of the planes for these weights: ``measured_on``, and for each view ``{angle_deg:
            [base, factor], offset_mm: [base, factor]}`` (`planewise.geometry.Bound`), from ``bounds`` of an evaluation.
            None means that they are unknown.
        phase_plans: plans of an exam's other phases, ``{exam: {phase: views}}``, to be joined with the plan of this phase
            (`join_phases`); `planewise plan` provides them.
        joint_bounds: error bounds of joint planes, in the form of ``plane_bounds``; for each view also ``phases_apart``.

    Raises:
        InputError: the bounds have another form.
    """

    views: Sequence[str]
    sigma: float
    location: bool = False
    line_width: float = 3.0
    min_peak: float = 0.5
    min_agreement: float = 0.63
    max_residual: float = 12.0
    max_spread: float = 12.0
    mapping: Literal["linear", "sine"] = "linear"
    min_order: float | None = 0.8
    min_obliquity: float = 0.0
    max_slice_distance: float = 12.0
    plane_bounds: Mapping[str, Any] | None = None
    phase_plans: Mapping[str, Mapping[str, Any]] | None = None
    joint_bounds: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        self.sigma = float(self.sigma)
        self.bounds = checked_bounds(self.plane_bounds, self.views)
        self.bounds_of_joint = checked_bounds(self.joint_bounds, self.views)
        self.phases_apart = phases_apart(self.joint_bounds, self.views)
        self.limits = {limit: getattr(self, limit) for limit in LIMITS.values()}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        image, prediction = item["image"], convert_to_tensor(item["pred"], track_meta=False).float().cpu()
        affines = slice_affines(image, item.get("slice_affines"))
        heatmaps = prediction[: len(self.views)].permute(3, 0, 1, 2)
        shape = (heatmaps.shape[2], heatmaps.shape[3])
        planned = plan_planes(find_lines(heatmaps, self.sigma), affines, shape, self.views)
        plan: dict[str, Any] = {"note": RESEARCH_ONLY, "frame": "RAS+, mm", "slices": len(affines)}
        plan["bounds_measured_on"] = self.plane_bounds["measured_on"] if self.plane_bounds else None
        plan["obliquity_deg"] = round(stack_obliquity(affines)[0], 2)
        reasons = [*map(str, wrong_direction(affines, self.min_obliquity))]
        if self.location:
            plan["locations"] = [round(float(value), 4) for value in prediction[-1, 0, 0]]
            order = location_order(prediction[-1, 0, 0], self.mapping)
            plan["order"] = round(order, 3)
            strength = order_strength(order, self.mapping)
            if self.min_order is not None and not strength >= self.min_order:
                reasons.append(f"order of the locations {strength:.2f}, but must be at least {self.min_order:g}")
        plan["views"] = {plane.view: self._judge(plane, reasons) for plane in planned}
        if self.phase_plans and (others := self.phase_plans.get(loaded_name(image))):
            plan["views"] = join_phases(json_values(plan["views"]), others, self.bounds_of_joint, self.phases_apart)
            joint = (self.joint_bounds or {}).get("measured_on")
            plan |= {"phases": 1 + len(others), "bounds_measured_on": joint}
        labels = torch.zeros(1, *shape, len(affines))
        for number, view in enumerate(plan["views"].values(), start=1):
            if view["verdict"] == "plane":
                labels[0][self._near_line(view, affines, shape)] = number
        # a stack without a line has no peak, and a server cannot answer with NaN in its JSON
        item["plan"] = json_values(plan)
        item["heatmaps"] = with_grid_of(image, prediction[: len(self.views)])
        item["pred"] = with_grid_of(image, labels)
        return item

    def _judge(self, plane: PlannedPlane, of_stack: Sequence[str]) -> dict[str, Any]:
        """The plane as plain values, with its verdict and the reasons against it, which concern the whole stack or this
        plane."""
        judged: dict[str, Any] = {
            "origin": [round(value, 3) for value in plane.origin.tolist()],
            "normal": [round(value, 5) for value in plane.normal.tolist()],
            "peak": round(plane.peak, 3),
            "agreement": round(plane.agreement, 3),
            "residual_mm": round(plane.residual, 2),
            "spread_deg": round(plane.spread, 2),
            "slices": plane.slices,
            **self._doubts(plane),
        }
        trust = {name: getattr(plane, name) for name in LIMITS}
        reasons = [*of_stack, *why_no_plane(**trust, **self.limits)]
        if reasons:
            # unreliable planes are not returned as numbers
            judged |= dict.fromkeys(("origin", "normal", *self._doubts(plane)))
        return {"verdict": "no plane" if reasons else "plane", "reasons": reasons, **judged}

    def _doubts(self, plane: PlannedPlane) -> dict[str, Any]:
        """The slices that disagree with the plane and those without a line, both counted from 1, and the plane's error
        bounds."""
        return {
            "slices_that_disagree": (1 + (plane.distances > self.max_slice_distance).nonzero()[:, 0]).tolist(),
            "slices_without_a_line": (1 + plane.distances.isnan().nonzero()[:, 0]).tolist(),
            "angle_sd_deg": round(plane.angle_sd, 2),
            "offset_sd_mm": round(plane.offset_sd, 2),
            **within_bounds(self.bounds.get(plane.view), plane.angle_sd, plane.offset_sd),
        }

    def _near_line(self, plane: Mapping[str, Any], affines: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
        """Which pixels ``(i, j, slices)`` are within half a line's width of the plane's line."""
        origin, normal = (torch.tensor(plane[key], dtype=torch.float64) for key in ("origin", "normal"))
        lines = intersection_lines(affines, origin, normal)
        rows = torch.arange(shape[0], dtype=torch.float64)[:, None, None]
        columns = torch.arange(shape[1], dtype=torch.float64)[None, :, None]
        distance = (lines[:, 0] * rows + lines[:, 1] * columns + lines[:, 2]).abs()
        spacing = affines[:, :3, 0].norm(dim=-1)
        # at least the pixels that the line crosses, even on a coarse grid
        return distance <= (self.line_width / 2 / spacing).clamp_min(0.5)


def slice_affines(image: MetaTensor, own: torch.Tensor | None = None) -> torch.Tensor:
    """Affine of every slice of a preprocessed volume, ``(slices, 4, 4)``, float64, RAS+, mm.

    Args:
        image: ``(1, i, j, slices)``, transformed in its planes only.
        own: affines of the slices as loaded, ``(slices, 4, 4)``, if they are not evenly spaced.
    """
    affine = image.affine.to(torch.float64).cpu()
    count = image.shape[-1]
    if own is not None:
        # the effect of the in-plane preprocessing, in voxel coordinates of the loaded volume
        loaded = torch.as_tensor(np.asarray(image.meta["original_affine"]), dtype=torch.float64).reshape(4, 4)
        return own.reshape(count, 4, 4).to(torch.float64) @ torch.linalg.inv(loaded) @ affine
    affines = affine.repeat(count, 1, 1)
    affines[:, :3, 3] += torch.arange(count, dtype=torch.float64)[:, None] * affine[:3, 2]
    return affines


def with_grid_of(image: MetaTensor, values: torch.Tensor) -> MetaTensor:
    """Values on the grid of an image, with its metadata."""
    return MetaTensor(values, affine=image.affine, meta=image.meta, applied_operations=image.applied_operations)


@dataclass(eq=False, repr=False)
class PlanWriter(ExamWriter):
    """For every stack, write its planned planes into ``output_dir/<exam>/``.

    - ``plan.json``: planes, trust values, relative locations;
    - ``planes.mrk.json``: the planes for 3D Slicer;
    - ``plan.png``: the slices with heatmaps and lines.

    The inference's postprocessing runs `PlanViewsd`.

    Args:
        output_dir: folder for the results.
        picture: whether to draw ``plan.png``, which takes longer than the plan.
    """

    picture: bool = True

    def write(self, exam: str, folder: Path, item: Mapping[str, Any], output: Mapping[str, Any]) -> None:
        image, plan = output["image"], output["plan"]
        write_json(folder / "plan.json", plan)
        write_json(folder / "planes.mrk.json", slicer_markups(plan))
        if self.picture:
            arrays = (np.asarray(values.cpu()) for values in (image[0], output["network_heatmaps"]))
            affines = slice_affines(image, item.get("slice_affines"))
            save_picture(folder / "plan.png", lambda: planned_views_figure(*arrays, affines, plan, exam))
        for name, view in plan["views"].items():
            said = view["reasons"] or plane_in_words(view, plan)
            logger.info("exam %s, %s: %s %s", exam, name, view["verdict"], "; ".join(said))
