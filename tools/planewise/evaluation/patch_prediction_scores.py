"""Scores of contrastive predictive coding, for `PretextReport`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from planewise.evaluation.collector import DRAWN, CollectorResults, ScoredBatch, middle_layer, with_accuracy
from planewise.geometry import inverted_pyramids, predicted_patches
from planewise.losses import candidate_scores
from planewise.metrics import found_first, patch_scores
from planewise.pretexts.overlapping_patches import patch_places
from planewise.reports.image_pretext_figures import PredictedRow, prediction_gallery

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class PatchPredictionScores:
    """A `Collector` of the similarity between each of Q predictions and each of P patches, ``(B, Q, P)``
    (`planewise.networks.PredictiveCodingLearner`).

    - ``metrics.json``: ``prediction``, see `planewise.metrics.patch_scores`;
    - the table of samples: ``found``, the share of a sample's patches that were found among the candidates;
    - ``predictions.png``: for the examples, the middle layer with one context, the patches that follow it, and the
      predicted patches.

    Targets contain ``candidates``, ``ahead`` and ``original``, from `planewise.pretexts.OverlappingPatchesd`.

    Args:
        patches_per_side, overlap: see `planewise.pretexts.OverlappingPatchesd`.
    """

    def __init__(self, patches_per_side: int = 4, overlap: float = 0.5) -> None:
        self.patches_per_side = int(patches_per_side)
        self.overlap = float(overlap)

    def take(self, batch: ScoredBatch) -> dict[str, Tensor]:
        target: Mapping[str, Tensor] = batch.target  # type: ignore[assignment]
        scores = candidate_scores(batch.prediction, target)
        found = found_first(scores, scores.new_zeros(len(scores), dtype=torch.long))
        size = batch.prediction.new_full((len(batch.prediction),), scores.shape[1]).long()
        shown = target["original"][:, 0]
        layer = middle_layer(shown, shown.ndim - 1)
        return {
            "found": found.reshape(batch.prediction.shape[:2]),
            "found_of_all": found_first(batch.prediction, target["candidates"][..., 0]),
            "ahead": target["ahead"],
            "candidates": size,
            "patches": torch.full_like(size, batch.prediction.shape[2]),
            "spatial_dims": torch.full_like(size, shown.ndim - 1),
            "best": batch.prediction.argmax(dim=2)[batch.example],
            "layer": layer[batch.example],
        }

    def results(self, taken: Mapping[str, Tensor], items: Sequence[Mapping[str, Any]], title: str) -> CollectorResults:
        found, ahead = taken["found"], taken["ahead"]
        scores = patch_scores(
            found, taken["found_of_all"], ahead, int(taken["candidates"][0]), int(taken["patches"][0])
        )
        columns = {"found": found.mean(dim=1).tolist()}
        layers = taken["layer"][:DRAWN]

        def draw() -> Figure:
            rows = self._rows(taken["best"][: len(layers)], int(ahead.max()), int(taken["spatial_dims"][0]))
            size, corners = patch_places(layers.shape[1:], self.patches_per_side, self.overlap)
            places = corners.repeat_interleave(int(taken["patches"][0]) // len(corners), dim=0)
            figure = prediction_gallery(layers.numpy(), size, places.tolist(), rows)
            return with_accuracy(figure, title, "patches found", scores)

        return CollectorResults(
            {"prediction": scores}, columns, figures={"predictions.png": draw} if len(layers) else {}
        )

    def _rows(self, best: Tensor, rows_ahead: int, spatial_dims: int) -> list[PredictedRow]:
        """The rows of the picture: all predictions from the context in the middle of the grid."""
        side = self.patches_per_side
        # number of the middle patch in the last row that still has ``rows_ahead`` after it
        middle = (side - 1 - rows_ahead) * side ** (spatial_dims - 1)
        middle += sum(side // 2 * side**axis for axis in range(spatial_dims - 1))
        known, length = inverted_pyramids(side, spatial_dims)
        predicted = predicted_patches(side, spatial_dims, rows_ahead)
        return [
            PredictedRow(
                int(predicted.ahead[query]),
                known[middle, : length[middle]].tolist(),
                int(predicted.patch[query]),
                best[:, query].tolist(),
            )
            for query in (predicted.context == middle).nonzero()[:, 0].tolist()
        ]
