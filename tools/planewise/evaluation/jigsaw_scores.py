"""Scores of jigsaw puzzles, for `PretextReport`."""

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
from planewise.metrics.jigsaw import jigsaw_scores, tiles_in_place
from planewise.pretexts import JigsawTilesd
from planewise.reports.image_pretext_figures import puzzle_gallery

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class JigsawScores:
    """A `Collector` of logits that predict in which permutation an image's tiles were shown.

    - ``metrics.json``: ``jigsaw``, see `planewise.metrics.jigsaw.jigsaw_scores`;
    - the table of samples: the numbers ``permutation`` and ``predicted_permutation``, and ``tiles_in_place``;
    - ``puzzles.png``: for each example, the image, its shuffled tiles, and the network's arrangement; for volumes, slices
      along the third axis.

    Targets contain ``permutation`` ``(B,)`` and ``original``, the images from which the tiles were cut.

    Args:
        pretext: the transform that made the puzzles.
    """

    def __init__(self, pretext: JigsawTilesd) -> None:
        self.permutations = pretext.permutations.numpy()
        self.per_side = pretext.tiles_per_side

    def take(self, batch: ScoredBatch) -> dict[str, Tensor]:
        target = batch.target
        taken = {"permutation": target["permutation"], "predicted": batch.prediction.argmax(dim=1)}
        tiles = batch.image[batch.example].unflatten(1, (self.permutations.shape[1], -1))[:, :, 0]
        shown = target["original"][batch.example, 0]
        # for volumes, the pictures show slices: the middle slice of each tile, and, next to each other, the middle
        # slices of all layers of cells
        tiles, layers = middle_layer(tiles, shown.ndim - 1), cell_layers(shown, self.per_side)
        return taken | {"tiles": tiles, "original": torch.cat(layers, dim=2), "example": batch.example}

    def results(self, taken: Mapping[str, Tensor], items: Sequence[Mapping[str, Any]], title: str) -> CollectorResults:
        predicted, reference = taken["predicted"].numpy(), taken["permutation"].numpy()
        scores = jigsaw_scores(predicted, reference, self.permutations)
        in_place = tiles_in_place(self.permutations[predicted], self.permutations[reference])
        columns = {
            "permutation": reference.tolist(),
            "predicted_permutation": predicted.tolist(),
            "tiles_in_place": in_place.tolist(),
        }
        rows = drawn_examples(taken["example"])
        pieces = self.permutations.shape[1]
        captions = [f"{items[row]['exam'][:4]}: {round(in_place[row] * pieces)} of {pieces} tiles" for row in rows]
        orders = (self.permutations[predicted[rows]], self.permutations[reference[rows]])

        def draw() -> Figure:
            images, tiles = (taken[name][: len(rows)].numpy() for name in ("original", "tiles"))
            figure = puzzle_gallery(images, tiles, *orders, self.per_side, captions)
            return with_accuracy(figure, title, "permutation accuracy", scores)

        return CollectorResults({"jigsaw": scores}, columns, figures={"puzzles.png": draw} if rows else {})
