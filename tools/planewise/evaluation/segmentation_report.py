"""Evaluation of segmentation, from one pass over whole volumes, and pictures of segmented stacks."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ignite.engine import Engine
from monai.transforms import generate_spatial_bounding_box

from planewise.evaluation.exam_writer import ExamWriter
from planewise.evaluation.report import Report
from planewise.metrics import region_values, volume_scores
from planewise.preprocessing.cardiac_features import slices_ml
from planewise.preprocessing.exam_name import loaded_name
from planewise.preprocessing.limit_slices import evenly_spaced
from planewise.preprocessing.load_stack import own_thickness
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.reports.segmentation_figures import (
    SHOWN_SLICES,
    ShownSlice,
    add_structure_legend,
    hard_slices,
    overlay_labels,
    segmentation_gallery,
    write_shown_slices,
)
from planewise.reports.slices import save_picture, stack_figure
from planewise.reports.tables import (
    ejection_fraction_error,
    heartbeats,
    summary,
    summary_over_structures,
    write_csv,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)


#: Maximum number of slices in a picture.
_DRAWN = 48


class SegmentationReport(Report):
    """Write the results of an evaluator's pass over whole volumes into a folder.

    - ``metrics.json``: mean and standard deviation (with n) over the volumes of Dice, ASSD (Zhang 2024 Table 4) and mean
      contour distance (Bai 2019 Fig. 4), for each structure and over all of them (`summary_over_structures`).
      End-diastole and end-systole of an exam count as two volumes. A missed structure has no distance: ``assd_mm`` leaves
      it out, and ``assd_missed_1_mm`` counts it as 1.0 mm, like the paper's reference implementation (null if more than
      half were missed); ``missed``, ``missed_share`` and ``never_predicted`` tell how many. ``contours`` is the number of
      contour distances, which need a slice with the structure in both masks. ``volume_error_ml`` and
      ``ejection_fraction_error_pct`` (percentage points) are the prediction minus the reference, between the phases in
      which the reference's LV is largest and smallest; ``ejection_fraction_distance_pct`` is the latter without the sign.
      ``diastole_dice``, ``systole_dice`` and ``diastole_volume_error_ml`` are of these two phases alone;
    - ``volumes.csv``: the same for each volume, with exams by their hash;
    - ``segmentations.png``, and ``shown_slices.npz`` for a picture of several methods (Zhang 2024 Fig. 7).

    The evaluator must decollate. Its batches contain ``image`` and ``label``; its outputs contain ``pred``, label values
    on the label's own grid.

    Args:
        output_dir: folder for the results.
        structures: maps each label value to a name.
        regions: maps the name of each region to the names of its structures; the report then scores regions instead of
            structures. If None, the report scores structures.
        examples: number of volumes shown, each by its middle slice.
    """

    def __init__(
        self,
        output_dir: str | Path,
        structures: Mapping[int | str, str],
        examples: int = 6,
        regions: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__(output_dir)
        self.structures = {int(value): name for value, name in structures.items()}
        self.scored = region_values(structures, regions or {})
        self.examples = examples

    def _start(self, engine: Engine) -> None:
        self._rows: list[dict[str, Any]] = []
        self._shown: list[tuple[np.ndarray, np.ndarray, np.ndarray, str]] = []
        self._hard: dict[str, ShownSlice] = {}
        length = engine.state.epoch_length or 1
        self._example_rows = set(np.linspace(0, length - 1, min(self.examples, length)).astype(int).tolist())

    def _collect(self, engine: Engine) -> None:
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            prediction, reference = output["pred"][0].cpu(), item["label"][0].cpu()
            spacing = item["label"].affine[:3, :3].norm(dim=0).tolist()
            exam = loaded_name(item["image"])
            scores = volume_scores(torch.as_tensor(prediction), torch.as_tensor(reference), spacing, self.scored)
            thickness = own_thickness(item["slice_affines"]) if "slice_affines" in item else None
            phase = item.get("phase", "")
            row = {"exam": item.get("exam", exam), "phase": phase}
            for (values, name), score in zip(self.scored.items(), scores.values(), strict=True):
                row |= {
                    f"{name}_dice": score["dice"],
                    f"{name}_assd_mm": score["assd"],
                    f"{name}_contour_mm": score["contour"],
                    f"{name}_missed": score["missed"],
                    f"{name}_ml": _volume(prediction, values, item, thickness),
                    f"{name}_reference_ml": _volume(reference, values, item, thickness),
                }
            row["empty"] = not np.isin(reference, list(self.structures)).any()
            row["predicted"] = sorted(int(value) for value in prediction.unique())
            if len(self._rows) in self._example_rows:
                native = item["native_image"][0].cpu().numpy()
                labelled = np.flatnonzero(reference.numpy().any(axis=(0, 1)))
                middle = int(labelled[len(labelled) // 2]) if len(labelled) else native.shape[-1] // 2
                dice = np.mean([float(score["dice"]) for score in scores.values()])
                caption = f"{row['exam'][:4]} {phase}\nDice of the volume {dice:.2f}"
                self._shown.append(
                    (native[..., middle], prediction.numpy()[..., middle], reference.numpy()[..., middle], caption)
                )
                for rank in hard_slices(reference.numpy()):
                    arrays = (array[..., rank] for array in (native, reference.numpy(), prediction.numpy()))
                    self._hard[f"{row['exam']} {phase} slice {rank + 1}"] = ShownSlice(*arrays)
            self._rows.append(row)

    def _missed(self, names: Sequence[str]) -> dict[str, Any]:
        """The distances with 1.0 mm for each missed structure, unless more than half of the structures were missed; and the
        share that was missed."""
        missed = [[row[f"{name}_missed"] for name in names] for row in self._rows]
        share = float(np.mean(missed))
        distances = [
            [math.nan if share > 0.5 else 1.0 if row[f"{name}_missed"] else row[f"{name}_assd_mm"] for name in names]
            for row in self._rows
        ]
        return {"assd_missed_1_mm": summary_over_structures(distances), "missed_share": share}

    def _heartbeat_scores(self, name: str) -> dict[str, Any]:
        """Scores of a structure at end-diastole and end-systole of each exam with several phases, and of a ventricle's
        volume at end-diastole and ejection fraction (predicted minus reference, percentage points)."""
        if not (beats := [*heartbeats(self._rows).values()]):
            return {}
        scores = {
            "diastole_dice": summary([first[f"{name}_dice"] for first, _ in beats]),
            "systole_dice": summary([last[f"{name}_dice"] for _, last in beats]),
        }
        if name in ("LV", "RV"):
            errors = [ejection_fraction_error(*beat, name) for beat in beats]
            scores["diastole_volume_error_ml"] = summary(
                [first[f"{name}_ml"] - first[f"{name}_reference_ml"] for first, _ in beats]
            )
            scores["ejection_fraction_error_pct"] = summary(errors)
            scores["ejection_fraction_distance_pct"] = summary([abs(error) for error in errors])
        return scores

    def write(self) -> dict[str, Any]:
        names = list(self.scored.values())
        structures = {
            name: {
                "dice": summary([row[f"{name}_dice"] for row in self._rows]),
                "assd_mm": summary([row[f"{name}_assd_mm"] for row in self._rows]),
                **self._missed([name]),
                "contour_mm": summary([row[f"{name}_contour_mm"] for row in self._rows]),
                "contours": sum(math.isfinite(row[f"{name}_contour_mm"]) for row in self._rows),
                "missed": sum(row[f"{name}_missed"] for row in self._rows),
            }
            for name in names
        }
        columns = {key: [row[key] for row in self._rows] for key in self._rows[0] if key not in ("predicted", "empty")}
        for name in names:
            sizes = [columns.pop(key) for key in (f"{name}_ml", f"{name}_reference_ml")]
            if np.isfinite(sizes).any():
                columns |= dict(zip((f"{name}_ml", f"{name}_reference_ml"), sizes, strict=True))
                structures[name]["volume_error_ml"] = summary(
                    [found - true for found, true in zip(*sizes, strict=True)]
                )
                if "LV" in names:
                    structures[name] |= self._heartbeat_scores(name)
        predicted = {value for row in self._rows for value in row["predicted"]}
        mean: dict[str, Any] = {
            kind: summary_over_structures([[row[f"{name}_{kind}"] for name in names] for row in self._rows])
            for kind in ("dice", "assd_mm", "contour_mm")
        }
        mean |= self._missed(names)
        metrics = {
            "volumes": len(self._rows),
            "exams": len({row["exam"] for row in self._rows}),
            "mean": mean
            | {count: sum(entry[count] for entry in structures.values()) for count in ("contours", "missed")},
            "structures": structures,
            "never_predicted": [name for values, name in self.scored.items() if not predicted & set(values)],
        }
        if empty := sum(row["empty"] for row in self._rows):
            logger.warning(
                "%d of %d reference masks are empty, so Dice is 1 for an empty prediction; the values of structures are %s",
                empty,
                len(self._rows),
                ", ".join(map(str, self.structures)),
            )
        write_csv(self.folder / "volumes.csv", columns)
        write_shown_slices(self.folder / SHOWN_SLICES, self._hard)
        images, predictions, references, captions = zip(*self._shown, strict=True)
        shown = (images, predictions, references, captions, self.structures)
        save_picture(self.folder / "segmentations.png", lambda: segmentation_gallery(*shown), 100)
        return metrics


def _volume(
    labels: torch.Tensor, values: Sequence[int], item: Mapping[str, Any], thickness: np.ndarray | None
) -> float:
    """Volume of a structure on the grid of an item's label, ml; NaN in a single slice."""
    if labels.shape[-1] < 2:
        return math.nan
    return slices_ml(np.isin(labels, values).sum(axis=(0, 1)), item["label"].affine.numpy(), thickness)


class SegmentationWriter(ExamWriter):
    """For every stack, write ``output_dir/<name>/segmentation.png``: its slices with the predicted labels on top; if
    there are many slices, `_DRAWN` of them, evenly spaced.

    Attach it to the evaluator of an inference config; the masks themselves come from `SaveImaged` there. The evaluator's
    batches contain ``native_image``; its outputs contain ``pred``, label values on the volume's own grid.

    Args:
        output_dir: folder for the results.
        structures: label value to name.
    """

    def __init__(self, output_dir: str | Path, structures: Mapping[int | str, str]) -> None:
        super().__init__(output_dir)
        self.structures = {int(value): name for value, name in structures.items()}

    def write(self, exam: str, folder: Path, item: Mapping[str, Any], output: Mapping[str, Any]) -> None:
        image, labels = (np.asarray(value[0].cpu()) for value in (item["native_image"], output["pred"]))
        if not labels.any():
            logger.warning("exam %s: no structure was found, so its mask is empty", exam)
        draw_segmentation(folder, image, labels, self.structures, exam)


def draw_segmentation(
    folder: Path, image: np.ndarray, labels: np.ndarray, structures: Mapping[int, str], title: str
) -> None:
    """Write ``segmentation.png``, see `SegmentationWriter`: image and label map are ``(i, j, slices)``. The pictures are
    cropped to the labels and half of their width on each side."""
    drawn = evenly_spaced(image.shape[-1], _DRAWN)
    first, last = map(np.array, generate_spatial_bounding_box(labels.any(axis=2)[None]))
    if last.all():
        around = (last - first) // 2
        box = tuple(slice(max(low, 0), high) for low, high in zip(first - around, last + around, strict=True))
        image, labels = image[box], labels[box]
    image, labels = image[..., drawn], labels[..., drawn]

    def draw() -> Figure:
        figure = stack_figure(
            image,
            lambda axes, number: overlay_labels(axes, labels[..., number]),
            f"{title}. {RESEARCH_ONLY}",
            [int(number) + 1 for number in drawn],
        )
        add_structure_legend(figure, structures)
        return figure

    save_picture(folder / "segmentation.png", draw)
