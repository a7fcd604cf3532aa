"""Evaluation of segmentation, from one pass over whole volumes, and pictures of segmented stacks."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine

from planewise.evaluation.report import Report
from planewise.evaluation.writers import ExamWriter
from planewise.metrics import region_values, volume_scores
from planewise.preprocessing.cardiac_features import slices_ml
from planewise.preprocessing.exam_name import loaded_name
from planewise.preprocessing.load_stack import own_thickness
from planewise.preprocessing.resample import evenly_spaced
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.reports.slices import overlay_labels, prediction_figure, save_picture, stack_figure, structure_colour
from planewise.reports.tables import summary, summary_over_structures, write_csv

logger = logging.getLogger(__name__)
#: Maximum number of slices in a picture.
_DRAWN = 48
#: The scores of a volume whose means are in ``metrics.json``, and all columns of its table for each structure.
_MEANS = {"dice": "dice", "assd_mm": "assd", "contour_mm": "contour"}
_SCORES = {**_MEANS, "missed": "missed"}


@dataclass(eq=False, repr=False)
class SegmentationReport(Report):
    """Write the results of an evaluator's pass over whole volumes into a folder.

    - ``metrics.json``: mean and standard deviation (with n) over the volumes of Dice, ASSD (Zhang 2024 Table 4) and mean
      contour distance (Bai 2019 Fig. 4), for each structure and over all of them (`summary_over_structures`).
      End-diastole and end-systole of an exam count as two volumes. A missed structure has no distance; ``missed`` and
      ``never_predicted`` tell how many. ``contours`` is the number of contour distances, which need a slice with the
      structure in both masks. ``volume_error_ml`` and ``ejection_fraction_error_pct`` (percentage points) are the
      prediction minus the reference, between the phases in which the reference's LV is largest and smallest;
      ``ejection_fraction_distance_pct`` is the latter without the sign. ``diastole_dice``, ``systole_dice`` and
      ``diastole_volume_error_ml`` are of these two phases alone;
    - ``volumes.csv``: the same for each volume, with exams by their hash;
    - ``segmentations.png``.

    The evaluator must decollate. Its batches contain ``image`` and ``label``; its outputs contain ``pred``, label values
    on the label's own grid.

    Args:
        output_dir: folder for the results.
        structures: maps each label value to a name.
        regions: maps the name of each region to the names of its structures; the report then scores regions instead of
            structures. If None, the report scores structures.
        examples: number of volumes shown, each by its middle slice.
    """

    structures: Mapping[int | str, str]
    examples: int = 6
    regions: Mapping[str, Sequence[str]] | None = None

    def __post_init__(self) -> None:
        self.scored = region_values(self.structures, self.regions or {})

    def _start(self, engine: Engine) -> None:
        self._rows: list[dict[str, Any]] = []
        self._shown: list[tuple[np.ndarray, np.ndarray, np.ndarray, str]] = []
        self._predicted: set[int] = set()
        self._empty = 0
        length = engine.state.epoch_length or 1
        self._example_rows = set(np.linspace(0, length - 1, min(self.examples, length)).astype(int).tolist())

    def _collect(self, engine: Engine) -> None:
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            prediction, reference = torch.as_tensor(output["pred"][0].cpu()), torch.as_tensor(item["label"][0].cpu())
            spacing = item["label"].affine[:3, :3].norm(dim=0).tolist()
            scores = volume_scores(prediction, reference, spacing, self.scored)
            thickness = own_thickness(item["slice_affines"]) if "slice_affines" in item else None
            row = {"exam": item.get("exam", loaded_name(item["image"])), "phase": item.get("phase", "")}
            for values, name in self.scored.items():
                row |= {f"{name}_{kind}": scores[name][key] for kind, key in _SCORES.items()}
                row[f"{name}_ml"] = _volume(prediction, values, item, thickness)
                row[f"{name}_reference_ml"] = _volume(reference, values, item, thickness)
            if len(self._rows) in self._example_rows:
                arrays = item["native_image"][0].cpu().numpy(), prediction.numpy(), reference.numpy()
                labelled = np.flatnonzero(reference.numpy().any(axis=(0, 1)))
                middle = int(labelled[len(labelled) // 2]) if len(labelled) else reference.shape[-1] // 2
                dice = np.mean([float(score["dice"]) for score in scores.values()])
                caption = f"{row['exam'][:4]} {row['phase']}\nDice of the volume {dice:.2f}"
                self._shown.append((*(array[..., middle] for array in arrays), caption))
            self._empty += not np.isin(reference, [*map(int, self.structures)]).any()
            self._predicted |= {int(value) for value in prediction.unique()}
            self._rows.append(row)

    def _of(self, name: str, rows: Sequence[Mapping[str, Any]] | None = None) -> list[float]:
        """A column of the volumes' rows, or of some of them."""
        return [row[name] for row in (self._rows if rows is None else rows)]

    def _volume_scores(self, name: str) -> dict[str, Any]:
        """Errors of a structure's volume; for exams with several phases of a heart, also the scores at end-diastole and
        end-systole, where the reference's LV is largest and smallest, and a ventricle's ejection fraction (predicted minus
        reference, percentage points)."""

        def error(rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
            return np.subtract(self._of(f"{name}_ml", rows), self._of(f"{name}_reference_ml", rows))

        scores = {"volume_error_ml": summary(error(self._rows))}
        exams: dict[str, list[dict[str, Any]]] = {}
        for row in self._rows:
            exams.setdefault(row["exam"], []).append(row)
        cines = [rows for rows in exams.values() if len(rows) > 1 and "LV_reference_ml" in rows[0]]
        if not cines:
            return scores
        first, last = (
            [choose(rows, key=lambda row: row["LV_reference_ml"]) for rows in cines] for choose in (max, min)
        )
        for moment, rows in (("diastole", first), ("systole", last)):
            scores[f"{moment}_dice"] = summary(self._of(f"{name}_dice", rows))
        if name in ("LV", "RV"):
            with np.errstate(divide="ignore", invalid="ignore"):
                left = [
                    np.divide(self._of(f"{name}{which}_ml", last), self._of(f"{name}{which}_ml", first))
                    for which in ("", "_reference")
                ]
            errors = 100 * (left[1] - left[0])
            scores["diastole_volume_error_ml"] = summary(error(first))
            scores["ejection_fraction_error_pct"] = summary(errors)
            scores["ejection_fraction_distance_pct"] = summary(abs(errors))
        return scores

    def write(self) -> dict[str, Any]:
        names = list(self.scored.values())
        structures: dict[str, dict[str, Any]] = {}
        columns = {key: self._of(key) for key in self._rows[0]}
        for name in names:
            structures[name] = {kind: summary(self._of(f"{name}_{kind}")) for kind in _MEANS}
            structures[name]["contours"] = sum(map(math.isfinite, self._of(f"{name}_contour_mm")))
            structures[name]["missed"] = sum(self._of(f"{name}_missed"))
            volumes = {key: columns.pop(key) for key in (f"{name}_ml", f"{name}_reference_ml")}
            if np.isfinite([*volumes.values()]).any():
                columns |= volumes
                structures[name] |= self._volume_scores(name)
        mean: dict[str, Any] = {
            kind: summary_over_structures([[row[f"{name}_{kind}"] for name in names] for row in self._rows])
            for kind in _MEANS
        }
        mean |= {count: sum(entry[count] for entry in structures.values()) for count in ("contours", "missed")}
        if self._empty:
            logger.warning(
                "%d of %d reference masks are empty, so Dice is 1 for an empty prediction; the values of structures are %s",
                self._empty,
                len(self._rows),
                ", ".join(map(str, self.structures)),
            )
        write_csv(self.folder / "volumes.csv", columns)
        images, predictions, references, captions = zip(*self._shown, strict=True)
        legend = (self.structures.values(), [structure_colour(int(value)) for value in self.structures])
        shown = (images, predictions, references, captions, overlay_labels, *legend, "reference")
        save_picture(self.folder / "segmentations.png", lambda: prediction_figure(*shown), 100)
        return {
            "volumes": len(self._rows),
            "exams": len(set(self._of("exam"))),
            "mean": mean,
            "structures": structures,
            "never_predicted": [name for values, name in self.scored.items() if not self._predicted & set(values)],
        }


def _volume(
    labels: torch.Tensor, values: Sequence[int], item: Mapping[str, Any], thickness: np.ndarray | None
) -> float:
    """Volume of a structure on the grid of an item's label, ml; NaN in a single slice."""
    if labels.shape[-1] < 2:
        return math.nan
    return slices_ml(np.isin(labels, values).sum(axis=(0, 1)), item["label"].affine.numpy(), thickness)


@dataclass(eq=False, repr=False)
class SegmentationWriter(ExamWriter):
    """For every stack, write ``output_dir/<name>/segmentation.png``: its slices with the predicted labels on top; if
    there are many slices, `_DRAWN` of them, evenly spaced.

    The evaluator's batches contain ``native_image``; its outputs contain ``pred``, label values on the volume's own grid.

    Args:
        output_dir: folder for the results.
        structures: label value to name.
    """

    structures: Mapping[int | str, str]

    def write(self, exam: str, folder: Path, item: Mapping[str, Any], output: Mapping[str, Any]) -> None:
        image, labels = (np.asarray(value[0].cpu()) for value in (item["native_image"], output["pred"]))
        if not labels.any():
            logger.warning("exam %s: no structure was found, so its mask is empty", exam)
        drawn = evenly_spaced(image.shape[-1], _DRAWN)
        image, labels = image[..., drawn], labels[..., drawn]
        legend = [*self.structures.values()], [structure_colour(int(value)) for value in self.structures]
        shown = f"{exam}. {RESEARCH_ONLY}", legend, [int(number) + 1 for number in drawn]
        save_picture(
            folder / "segmentation.png",
            lambda: stack_figure(image, lambda axes, number: overlay_labels(axes, labels[..., number]), *shown),
        )
