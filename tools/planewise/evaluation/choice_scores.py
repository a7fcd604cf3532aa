"""Scores of pretexts that choose one of several classes or patches, for `PretextReport`: rotations, relative patch locations,
jigsaw, contrastive predictive coding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from planewise.evaluation.pretext_report import (
    DRAWN,
    CollectorResults,
    ScoredBatch,
    cell_layers,
    drawn_examples,
    middle_layer,
    with_accuracy,
)
from planewise.geometry import inverted_pyramids, predicted_patches
from planewise.losses import candidate_scores
from planewise.metrics import found_first, patch_scores
from planewise.metrics.classification import choice_scores, jigsaw_scores, tiles_in_place
from planewise.pretexts import JigsawTilesd, RelativePatchesd
from planewise.pretexts.overlapping_patches import patch_places
from planewise.pretexts.relative_patches import cell_of_class
from planewise.reports.image_pretext_figures import (
    PredictedRow,
    cell_name,
    patch_location_gallery,
    prediction_gallery,
    puzzle_gallery,
    rotation_gallery,
    rotation_name,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class RotationScores:
    """A `Collector` of logits that predict by which class an image or a volume was rotated.

    - ``metrics.json``: ``rotation``, see `planewise.metrics.classification.choice_scores`;
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

    - ``metrics.json``: ``patch_location``, see `planewise.metrics.classification.choice_scores`;
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

    - ``metrics.json``: ``jigsaw``, see `planewise.metrics.classification.jigsaw_scores`;
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
