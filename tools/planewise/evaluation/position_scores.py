"""Scores of anatomical position prediction, for `PretextReport`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from planewise.evaluation.collector import CollectorResults, ScoredBatch, drawn_at
from planewise.geometry import cross_residual, find_squares, square_names
from planewise.metrics import position_counts, position_dice
from planewise.reports.pretext_figures import position_gallery
from planewise.reports.tables import percentile, summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class PositionScores:
    """A `Collector` of the nine squares of Bai 2019 from the network's ten classes.

    - ``metrics.json``: ``positions``: ``accuracy``, the share of all known pixels with the right class;
      ``square_accuracy``, the same for pixels of true squares; ``dice``, the mean Dice of the nine squares, each over all
      slices; for each square ``dice``, ``centre_mm`` (distance of its centre from the true one) and ``not_found``, the
      last two for squares that are wholly inside the image; and ``trust``: bounds that 99 of 100 of these slices
      satisfy, from which to choose the limits of `FindPositionsd`;
    - ``slices.csv``: ``squares_dice``, the mean Dice of the squares that are on the slice; ``squares_found``; and
      ``centre_mm``, averaged over the squares;
    - ``squares.png``: the examples.

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
        found = find_squares(prediction.softmax(dim=1), target["affine"], self.size)
        predicted = prediction.argmax(dim=1)
        return {
            "counts": position_counts(prediction, target["squares"]),
            "distance": (found.centres - target["square_centres"]).norm(dim=-1),
            "inside": target["square_inside"],
            "found": torch.isfinite(found.centres).all(dim=-1),
            "residual": cross_residual(found.centres, self.step),
            "image": batch.image[batch.example, 0],
            "predicted": predicted[batch.example].to(torch.int8),
            "reference": target["squares"][batch.example].to(torch.int8),
            "example": batch.example,
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
        scores = {
            "dice": float(dice.nanmean()),
            "accuracy": float(pixels[0].sum() / pixels[1].sum()),
            "square_accuracy": float(pixels[0][1:].sum() / pixels[1][1:].sum()),
            "centre_mm": summary(distance.flatten().tolist()),
            "not_found": int((inside & ~taken["found"]).sum()),
            "squares": {
                name: {
                    "dice": float(dice[number]),
                    "centre_mm": summary(distance[:, number].tolist()),
                    "not_found": int((inside & ~taken["found"])[:, number].sum()),
                }
                for number, name in enumerate(self.names)
            },
            "trust": {"found": percentile(found[known], 1), "residual_mm": percentile(residual[known], 99)},
        }
        columns = {
            "squares_dice": of_slice.nanmean(dim=1).tolist(),
            "squares_found": taken["found"].sum(dim=1).tolist(),
            "centre_mm": distance.nanmean(dim=1).tolist(),
        }
        return CollectorResults({"positions": scores}, columns, figures=self._figures(taken, items))

    def _figures(
        self, taken: Mapping[str, Tensor], items: Sequence[Mapping[str, Any]]
    ) -> dict[str, Callable[[], Figure]]:
        rows = taken["example"].nonzero()[:, 0].tolist()
        captions = [f"{items[row]['exam'][:4]} slice {items[row].get('slice', '')}" for row in rows]
        arrays = [taken[key].numpy() for key in ("image", "predicted", "reference")]
        return {"squares.png": drawn_at(100, position_gallery, *arrays, captions, self.names)} if rows else {}
