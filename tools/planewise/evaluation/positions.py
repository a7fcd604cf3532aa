"""Anatomical positions: their scores for `PretextReport`, and the positions in a stack, judged and in patient space."""

from __future__ import annotations

import logging
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import Transform
from monai.utils import convert_to_tensor
from torch import Tensor

from planewise.evaluation.plan_views import slice_affines, with_grid_of
from planewise.evaluation.report import CollectorResults, ScoredBatch
from planewise.evaluation.writers import ExamWriter
from planewise.geometry import cross_residual, find_squares, square_names
from planewise.metrics import position_counts, position_dice
from planewise.reports.pretext_figures import SQUARE_COLOURS, overlay_squares
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.reports.slices import save_picture, stack_figure
from planewise.reports.tables import percentile, summary, write_json

logger = logging.getLogger(__name__)


class PositionScores:
    """A `Collector` of the nine squares of Bai 2019 from the network's ten classes.

    - ``metrics.json``: ``positions``: ``accuracy``, the share of all known pixels with the right class;
      ``square_accuracy``, the same for pixels of true squares; ``dice``, the mean Dice of the nine squares, each over all
      slices; for each square ``dice``, ``centre_mm`` (distance of its centre from the true one) and ``not_found``, the
      last two for squares that are wholly inside the image; and ``trust``: bounds that 99 of 100 of these slices
      satisfy, from which to choose the limits of `FindPositionsd`;
    - ``slices.csv``: ``squares_dice``, the mean Dice of the squares that are on the slice; ``squares_found``; and
      ``centre_mm``, averaged over the squares.

    Targets contain ``squares`` ``(B, i, j)``, ``square_centres`` ``(B, 9, 3)`` (RAS+, mm), ``square_inside`` ``(B, 9)`` and
    ``affine`` ``(B, 4, 4)``.

    Args:
        ends: for each view, the first end of its line; the squares' names come from them.
        size: side of a square, mm.
        step: distance between the centres of neighbouring squares, mm.
    """

    def __init__(self, ends: Sequence[str], size: float, step: float) -> None:
        self.names = square_names(ends)
        self.size = float(size)
        self.step = float(step)

    def take(self, batch: ScoredBatch) -> dict[str, Tensor]:
        target, prediction = batch.target, batch.prediction.float()
        centres = find_squares(prediction.softmax(dim=1), target["affine"], self.size)
        return {
            "counts": position_counts(prediction, target["squares"]),
            "distance": (centres - target["square_centres"]).norm(dim=-1),
            "inside": target["square_inside"],
            "found": torch.isfinite(centres).all(dim=-1),
            "residual": cross_residual(centres, self.step),
        }

    def results(self, taken: Mapping[str, Tensor], items: Sequence[Mapping[str, Any]], title: str) -> CollectorResults:
        counts, inside = taken["counts"], taken["inside"]
        distance = torch.where(inside, taken["distance"], torch.nan)
        dice = position_dice(counts)[1:]
        # for each slice, over its visible squares
        both, predicted, true = counts[:, 1:].double().unbind(dim=-1)
        of_slice = torch.where(true > 0, 2 * both / (predicted + true), torch.nan)
        pixels = counts[..., 0].sum(dim=0).double(), counts[..., 2].sum(dim=0).double()
        known = (counts[..., 2].sum(dim=1) > 0).numpy()
        found, residual = taken["found"].sum(dim=1).double().numpy(), taken["residual"].numpy()
        lost = inside & ~taken["found"]
        scores = {
            "dice": float(dice.nanmean()),
            "accuracy": float(pixels[0].sum() / pixels[1].sum()),
            "square_accuracy": float(pixels[0][1:].sum() / pixels[1][1:].sum()),
            "centre_mm": summary(distance.flatten().tolist()),
            "not_found": int(lost.sum()),
            "squares": {
                name: {"dice": float(of_square), "centre_mm": summary(away.tolist()), "not_found": int(missing.sum())}
                for name, of_square, away, missing in zip(self.names, dice, distance.T, lost.T, strict=True)
            },
            "trust": {"found": percentile(found[known], 1), "residual_mm": percentile(residual[known], 99)},
        }
        columns = {
            "squares_dice": of_slice.nanmean(dim=1).tolist(),
            "squares_found": taken["found"].sum(dim=1).tolist(),
            "centre_mm": distance.nanmean(dim=1).tolist(),
        }
        return CollectorResults({"positions": scores}, columns)


@dataclass(eq=False, repr=False)
class FindPositionsd(Transform):
    """Find the nine squares of Bai 2019 in every slice of a stack, judge them, and return them as labels.

    Reads ``pred``, the network's ten logits for a volume ``(10, i, j, slices)``; ``image``, the preprocessed volume
    with its affine; and ``slice_affines`` if slices have their own. Writes

    - ``pred``: labels ``(1, i, j, slices)``, 0 background, 1 to 9 the squares. A slice that is not trusted has no
      labels.
    - ``positions``: a dictionary of plain values: the verdict and its reasons, and for each slice its trust values and
      the squares' centres (RAS+, mm; None for a square that was not found, or whose slice is not trusted).

    A slice is trusted if enough squares are found in it and they form the expected cross. If too few slices of a stack
    are trusted, the verdict is "no positions", and all its slices lose their labels and centres. For your own network,
    choose limits from ``trust`` in its evaluation's metrics.

    Args:
        ends: for each view, the first end of its line.
        size: side of a square, mm.
        step: distance between the centres of neighbouring squares, mm.
        min_found: minimum number of squares that must be found in a slice.
        max_residual: maximum distance of their centres from the best cross, root mean square, mm.
        min_trusted: minimum share of slices that must be trusted.
    """

    ends: Sequence[str]
    size: float
    step: float
    min_found: int = 5
    max_residual: float = 10.0
    min_trusted: float = 0.5

    def __post_init__(self) -> None:
        self.size, self.step = float(self.size), float(self.step)  # YAML reads 1e2 as a text
        self.names = square_names(self.ends)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        image, logits = item["image"], convert_to_tensor(item["pred"], track_meta=False).float().cpu()
        affines = slice_affines(image, item.get("slice_affines"))
        probabilities = logits.permute(3, 0, 1, 2).softmax(dim=1)
        centres = find_squares(probabilities, affines, self.size)
        seen = torch.isfinite(centres).all(dim=-1)
        counts, residuals = seen.sum(dim=1), cross_residual(centres, self.step)
        trusted = (counts >= self.min_found) & (residuals <= self.max_residual)
        count, total = int(trusted.sum()), len(trusted)
        refused = count < self.min_trusted * total
        reason = (
            f"{count} of {total} slices are trusted (at least {self.min_found} squares, at most {self.max_residual:g} mm "
            f"from their cross); at least {self.min_trusted:.0%} of them are needed"
        )
        # unreliable positions are not returned as numbers
        shown = seen & (trusted & (not refused))[:, None]
        slices = [
            {
                "slice": number,
                "trusted": bool(trusted[number]),
                "found": int(counts[number]),
                "residual_mm": round(residual, 2) if math.isfinite(residual) else None,
                "centres": {
                    name: [round(value, 2) for value in centre.tolist()] if here else None
                    for name, centre, here in zip(self.names, centres[number], shown[number], strict=True)
                },
            }
            for number, residual in enumerate(residuals.tolist())
        ]
        labels = probabilities.argmax(dim=1).permute(1, 2, 0)[None].to(torch.uint8)
        labels[..., ~(trusted & (not refused))] = 0
        item["positions"] = {
            "note": RESEARCH_ONLY,
            "frame": "RAS+, mm",
            "verdict": "no positions" if refused else "positions",
            "reasons": [reason] * refused,
            "slices": slices,
        }
        item["pred"] = with_grid_of(image, labels)
        return item


@dataclass(eq=False, repr=False)
class PositionWriter(ExamWriter):
    """For every stack, write its anatomical positions into ``output_dir/<exam>/``.

    - ``positions.json``: the result of `FindPositionsd`: verdict, and the squares' centres in each slice;
    - ``positions.png``: the slices with the squares.

    The inference's postprocessing runs `FindPositionsd` and keeps its labels on the network's grid as ``network_labels``.

    Args:
        output_dir: folder for the results.
        ends: for each view, the first end of its line; the squares' names come from them.
    """

    ends: Sequence[str]

    def write(self, exam: str, folder: Path, item: Mapping[str, Any], output: Mapping[str, Any]) -> None:
        positions = output["positions"]
        write_json(folder / "positions.json", positions)
        image, labels = (np.asarray(output[key][0].cpu()) for key in ("image", "network_labels"))
        title, legend = f"{exam}: {positions['verdict']}", (square_names(self.ends), SQUARE_COLOURS)
        save_picture(
            folder / "positions.png",
            lambda: stack_figure(image, lambda axes, number: overlay_squares(axes, labels[..., number]), title, legend),
        )
        trusted = sum(entry["trusted"] for entry in positions["slices"])
        said = f"{positions['verdict']}, {trusted} of {len(positions['slices'])} slices trusted"
        logger.info("exam %s: %s", exam, said)
