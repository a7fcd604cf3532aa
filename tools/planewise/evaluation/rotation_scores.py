"""Scores of rotation prediction, for `PretextReport`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from planewise.evaluation.collector import CollectorResults, ScoredBatch, drawn_examples, with_accuracy
from planewise.metrics.confusion import choice_scores
from planewise.reports.image_pretext_figures import rotation_gallery, rotation_name

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
