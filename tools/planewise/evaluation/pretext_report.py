"""Evaluation of the pretexts: tables and pictures from one pass over the slices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events

from planewise.data import SliceDataset
from planewise.data.datalist import rows_by_exam
from planewise.geometry import (
    SliceLines,
    find_lines,
    line_centres,
    line_errors,
    pixels_to_patient,
    plan_planes,
    plane_errors,
)
from planewise.losses import predicted_location
from planewise.metrics import location_scores
from planewise.reports.pretext_figures import heatmap_gallery, regression_plot
from planewise.reports.tables import summary, write_csv, write_json


class PretextReport:
    """Write what an evaluator's pass over the slices shows into a folder.

    - ``metrics.json``: the scores of Zhang 2024 Table 2 for location; for orientation the mean squared error of the
      heatmaps, and per view the angle (deg) and distance (mm) of the lines and of the 3D planes fitted over the stacks,
      and ``trust``: the bounds that 99 of 100 of these stacks keep, from which the limits of `PlanViewsd` are chosen;
    - ``slices.csv``, ``planes.csv``: the same for each slice and each stack, exams by their hash;
    - ``regression.png`` (Fig. 6) and ``heatmaps.png`` (Figs. 4 and 5).

    Args:
        output_dir: folder.
        dataset: the evaluator's slices.
        views: names of the heatmap channels; empty if the network predicts none.
        sigma: of the heatmaps, pixels.
        location: whether the network's last channel is a location.
        phases: fractions of the cycle at which the planes of a stack are fitted; each slice enters with its phase
            nearest to them. 0 is end-diastole, 0.4 about end-systole; ``[0]`` for what does not move.
        examples: slices shown in ``heatmaps.png``.
        title: of the pictures, say the data's name.
    """

    def __init__(
        self,
        output_dir: str | Path,
        dataset: SliceDataset,
        views: Sequence[str] = (),
        sigma: float = 6.0,
        location: bool = True,
        phases: Sequence[float] = (0.0, 0.4),
        examples: int = 8,
        title: str = "",
    ) -> None:
        self.folder = Path(output_dir)
        self.dataset = dataset
        self.views = tuple(views)
        self.sigma = sigma
        self.location = location
        self.phases = tuple(float(phase) for phase in phases)
        self.title = title
        self._shown = _spread(dataset.items, examples)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._rows: dict[str, list[torch.Tensor]] = defaultdict(list)
        self._examples: list[dict[str, Any]] = []
        self._shape = (0, 0)

    def _collect(self, engine: Engine) -> None:
        image, target, prediction = (engine.state.output[key] for key in ("image", "label", "pred"))
        index = engine.state.batch["index"]
        rows = {"index": index}
        if self.location:
            rows |= {"location": target["location"], "predicted_location": predicted_location(prediction)}
        if self.views:
            heatmaps = prediction[:, : len(self.views)]
            found = find_lines(heatmaps, self.sigma)
            self._shape = (heatmaps.shape[-2], heatmaps.shape[-1])
            rows |= {"lines": found.lines, "agreement": found.agreement, "peak": found.peak}
            rows |= {"true_lines": target["lines"], "affine": target["affine"], "planes": target["planes"]}
            rows["heatmap_mse"] = (heatmaps - target["heatmaps"]).square().mean(dim=(2, 3))
        for name, value in rows.items():
            self._rows[name].append(value.detach().cpu())
        for row in range(len(index)):
            if int(index[row]) in self._shown and self.views:
                self._examples.append(
                    {
                        "index": int(index[row]),
                        "image": image[row, 0].cpu().numpy(),
                        "predicted": heatmaps[row].detach().float().cpu().numpy(),
                        "reference": target["heatmaps"][row].cpu().numpy(),
                        "location": float(target["location"][row]) if self.location else None,
                    }
                )

    def _write(self, engine: Engine) -> None:
        if not self._rows:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        rows = {name: torch.cat(values) for name, values in self._rows.items()}
        items = [self.dataset.items[index] for index in rows["index"].tolist()]
        columns: dict[str, Sequence[Any]] = {
            key: [item.get(key, "") for item in items] for key in ("exam", "stack", "slice", "phase")
        }
        metrics: dict[str, Any] = {"slices": len(items), "exams": len({item["exam"] for item in items})}
        if self.location:
            columns |= {name: rows[name].tolist() for name in ("location", "predicted_location")}
            metrics["location"] = location_scores(columns["predicted_location"], columns["location"])
            figure = regression_plot(
                rows["predicted_location"].numpy(), rows["location"].numpy(), metrics["location"], self.title
            )
            figure.savefig(self.folder / "regression.png", dpi=120)
        if self.views:
            metrics["orientation"] = self._orientation(rows, items, columns)
            self._draw_examples()
        write_csv(self.folder / "slices.csv", columns)
        write_json(self.folder / "metrics.json", metrics)
        engine.state.metrics |= {"report": metrics}

    def _orientation(
        self, rows: dict[str, torch.Tensor], items: Sequence[dict[str, Any]], columns: dict[str, Sequence[Any]]
    ) -> dict[str, Any]:
        angle, distance = line_errors(rows["lines"], rows["true_lines"], rows["affine"][:, None], self._shape)
        angle = torch.rad2deg(angle)
        for channel, view in enumerate(self.views):
            columns[f"{view}_angle_deg"] = angle[:, channel].tolist()
            columns[f"{view}_distance_mm"] = distance[:, channel].tolist()
            columns[f"{view}_agreement"] = rows["agreement"][:, channel].tolist()
        planes = self._planes(rows, items)
        write_csv(self.folder / "planes.csv", {key: [plane[key] for plane in planes] for key in planes[0]})
        scores: dict[str, Any] = {"heatmap_mse": float(rows["heatmap_mse"].nanmean()), "views": {}}
        known = torch.isfinite(rows["true_lines"]).all(dim=-1)
        for channel, view in enumerate(self.views):
            of_view = [plane for plane in planes if plane["view"] == view]
            scores["views"][view] = {
                "line_angle_deg": summary(angle[:, channel].tolist()),
                "line_distance_mm": summary(distance[:, channel].tolist()),
                "lines_not_found": int((known[:, channel] & ~torch.isfinite(angle[:, channel])).sum()),
                "plane_angle_deg": summary([plane["angle_deg"] for plane in of_view]),
                "plane_offset_mm": summary([plane["offset_mm"] for plane in of_view]),
                "trust": {
                    name: round(float(np.nanpercentile([plane[name] for plane in of_view], percent)), 3)
                    for name, percent in (("peak", 1), ("agreement", 1), ("residual_mm", 99), ("spread_deg", 99))
                },
            }
        return scores

    def _planes(self, rows: dict[str, torch.Tensor], items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """One row per exam, stack, phase and view."""
        stacks: dict[tuple[str, str], dict[Any, list[int]]] = defaultdict(lambda: defaultdict(list))
        for row, item in enumerate(items):
            stacks[item["exam"], item.get("stack", "")][item.get("slice", row)].append(row)
        planes = []
        for (exam, stack), slices in stacks.items():
            for phase in self.phases:
                chosen = [
                    min(candidates, key=lambda row: abs(items[row].get("phase", 0.0) - phase))
                    for candidates in slices.values()
                ]
                found = SliceLines(rows["lines"][chosen], rows["agreement"][chosen], rows["peak"][chosen])
                affines = rows["affine"][chosen]
                planned = plan_planes(found, affines, self._shape, self.views)
                at = pixels_to_patient(line_centres(rows["true_lines"][chosen], self._shape), affines).mean(dim=0)
                for channel, plane in enumerate(planned):
                    origin, normal = rows["planes"][chosen[0], channel]
                    angle, offset = plane_errors(plane.origin, plane.normal, origin, normal, at)
                    planes.append(
                        {
                            "exam": exam,
                            "stack": stack,
                            "phase": phase,
                            "view": plane.view,
                            "angle_deg": angle,
                            "offset_mm": offset,
                            "residual_mm": plane.residual,
                            "spread_deg": plane.spread,
                            "agreement": plane.agreement,
                            "peak": plane.peak,
                            "slices": plane.slices,
                        }
                    )
        return planes

    def _draw_examples(self) -> None:
        shown = sorted(self._examples, key=lambda example: example["index"])
        captions = []
        for example in shown:
            item = self.dataset.items[example["index"]]
            # as the network is to see it, which mirrors where Eq. (4) does
            location = item.get("location") if example["location"] is None else example["location"]
            parts = [item["exam"][:4]]
            parts += [f"phase {item.get('phase', 0.0):.2f}"] if self.phases != (0.0,) else []
            parts += [f"location {abs(location):.2f}"] if location is not None and np.isfinite(location) else []
            captions.append(" ".join(parts))
        arrays = [np.stack([example[key] for example in shown]) for key in ("image", "predicted", "reference")]
        heatmap_gallery(*arrays, captions, self.views).savefig(self.folder / "heatmaps.png", dpi=100)


def _spread(items: Sequence[dict[str, Any]], count: int) -> set[int]:
    """Indices of ``count`` items of different exams, each further along its stack than the one before."""
    exams = list(rows_by_exam(items).values())
    count = min(count, len(items))
    shown = set()
    for number in range(count):
        rows = exams[number * len(exams) // count]
        shown.add(rows[int((number + 0.5) / count * len(rows))])
    return shown
