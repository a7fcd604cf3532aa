"""Scores of pretexts that choose one of several classes, for `PretextReport`: rotations, relative patch locations, jigsaw."""

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
from planewise.metrics.confusion import choice_scores, jigsaw_scores, tiles_in_place
from planewise.pretexts import JigsawTilesd, RelativePatchesd
from planewise.pretexts.relative_patches import cell_of_class
from planewise.reports.image_pretext_figures import (
    cell_name,
    patch_location_gallery,
    puzzle_gallery,
    rotation_gallery,
    rotation_name,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class RotationScores:
    """A `Collector` of logits that predict by which class an image or a volume was rotated.

    - ``metrics.json``: ``rotation``, see `planewise.metrics.confusion.choice_scores`;
    - the table of samples: ``rotation`` and ``predicted_rotation``;
    - ``rotations.png``: the rotated examples, with both values; for volumes, the middle layer along each axis.

    Targets contain the class ``(B,)`` under ``key``.

    Args:
        key: key of the class, as in `planewise.pretexts.RotationTargetsd`.
    """

    def __init__(self, key: str = "rotation") -> None:
        self.key = key

    def take(self, batch: ScoredBatch) -> dict[str, Tensor]:
        first = batch.image[:, 0]
        layers = (
            [first] if first.ndim == 3 else [first.select(1 + axis, first.shape[1 + axis] // 2) for axis in range(3)]
        )
        shown = {f"layer{number}": layer[batch.example] for number, layer in enumerate(layers)}
        # number of classes
        width = batch.prediction.new_full((len(batch.prediction),), batch.prediction.shape[1]).long()
        found = {"rotation": batch.target[self.key], "predicted": batch.prediction.argmax(dim=1), "classes": width}
        return {**found, **shown, "example": batch.example}

    def results(self, taken: Mapping[str, Tensor], items: Sequence[Mapping[str, Any]], title: str) -> CollectorResults:
        reference, predicted = taken["rotation"].numpy(), taken["predicted"].numpy()
        scores = choice_scores(predicted, reference, int(taken["classes"][0]), "rotation", "images")
        columns = {"rotation": reference.tolist(), "predicted_rotation": predicted.tolist()}
        rows = drawn_examples(taken["example"])
        layers = [taken[name].numpy() for name in sorted(taken) if name.startswith("layer")]
        axes = 2 if len(layers) == 1 else 3
        right, others = ([rotation_name(one[row], axes) for row in rows] for one in (reference, predicted))
        captions = [
            f"{items[row]['exam'][:4]}: {name}\npredicted {other}"
            for row, name, other in zip(rows, right, others, strict=True)
        ]

        def draw() -> Figure:
            first = [layer[: len(rows)] for layer in layers]
            figure = rotation_gallery(first, captions, [reference[row] == predicted[row] for row in rows])
            return with_accuracy(figure, title, "rotation accuracy", scores)

        return CollectorResults({"rotation": scores}, columns, figures={"rotations.png": draw} if rows else {})


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


class JigsawScores:
    """A `Collector` of logits that predict in which permutation an image's tiles were shown.

    - ``metrics.json``: ``jigsaw``, see `planewise.metrics.confusion.jigsaw_scores`;
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
