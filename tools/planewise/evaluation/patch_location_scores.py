"""Scores of relative patch location, for `PretextReport`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from planewise.evaluation.collector import (
    CollectorResults,
    ScoredBatch,
    cell_layers,
    drawn_examples,
    middle_layer,
    with_accuracy,
)
from planewise.metrics.confusion import choice_scores
from planewise.pretexts import RelativePatchesd
from planewise.pretexts.relative_patches import cell_of_class
from planewise.reports.image_pretext_figures import cell_name, patch_location_gallery

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class PatchLocationScores:
    """A `Collector` of logits for a patch's location relative to the middle one.

    - ``metrics.json``: ``patch_location``, see `planewise.metrics.confusion.choice_scores`;
    - the table of samples: ``place`` and ``predicted_place``;
    - ``patches.png``: for each example, both patches, and the image with their cells.

    Targets contain ``place`` ``(B,)`` and ``original``, the images from which the patches were cut.

    Args:
        pretext: the transform that cut the patches.
    """

    def __init__(self, pretext: RelativePatchesd) -> None:
        self.per_side = pretext.patches_per_side

    def take(self, batch: ScoredBatch) -> dict[str, Tensor]:
        pairs = batch.image[batch.example].unflatten(1, (2, -1))[:, :, 0]
        shown = batch.target["original"][batch.example, 0]
        return {
            "place": batch.target["place"],
            "predicted": batch.prediction.argmax(dim=1),
            # number of places
            "places": batch.prediction.new_full((len(batch.prediction),), batch.prediction.shape[1]).long(),
            # for volumes, the pictures show slices: the middle slice of each patch, and the middle slice of each layer
            # of cells
            "pairs": middle_layer(pairs, shown.ndim - 1),
            "layers": torch.stack(cell_layers(shown, self.per_side), dim=1),
            "example": batch.example,
        }

    def results(self, taken: Mapping[str, Tensor], items: Sequence[Mapping[str, Any]], title: str) -> CollectorResults:
        places = int(taken["places"][0])
        reference, predicted = taken["place"].numpy(), taken["predicted"].numpy()
        scores = choice_scores(predicted, reference, places, "place", "queries")
        columns = {"place": reference.tolist(), "predicted_place": predicted.tolist()}
        rows = drawn_examples(taken["example"])
        right, answer = (cell_of_class(taken[key][rows], places + 1).tolist() for key in ("place", "predicted"))
        dims = 2 if taken["layers"].shape[1] == 1 else 3
        captions = [
            f"{items[row]['exam'][:4]}: {cell_name(cell, self.per_side, dims)}\n"
            f"predicted {cell_name(other, self.per_side, dims)}"
            for row, cell, other in zip(rows, right, answer, strict=True)
        ]

        def draw() -> Figure:
            layers, pairs = (taken[name][: len(rows)].numpy() for name in ("layers", "pairs"))
            figure = patch_location_gallery(layers, pairs, answer, right, self.per_side, captions)
            return with_accuracy(figure, title, "location accuracy", scores)

        return CollectorResults({"patch_location": scores}, columns, figures={"patches.png": draw} if rows else {})
