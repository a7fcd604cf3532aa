"""Scores of pretexts that choose one of several classes, patches or images, for `PretextReport`: rotations, relative patch
locations, jigsaw, contrastive predictive coding, two views of a slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from planewise.evaluation.report import CollectorResults, ScoredBatch
from planewise.losses import candidate_scores
from planewise.metrics import effective_rank, embedding_spread, found_first, retrieval_accuracy
from planewise.metrics.classification import confusion_and_shares
from planewise.preprocessing.resample import evenly_spaced
from planewise.pretexts import JigsawTilesd


class ChoiceScores:
    """A `Collector` of logits that predict which class was drawn for an image or a volume, such as its rotation.

    - ``metrics.json``: ``accuracy``, and ``chance``, the accuracy of guessing; the number of samples under the name
      ``items``, and the number of classes under the plural of ``choice``; ``accuracy_by_<choice>``, the accuracy for each
      class, NaN if the class does not occur; and ``confusion``, with a row for each true class;
    - the table of samples: the class and the predicted class, ``<choice>`` and ``predicted_<choice>``.

    Targets contain the class ``(B,)`` under ``choice``.

    Args:
        choice: what is chosen, which is also the target's key, such as ``rotation``.
        name: name of the scores in ``metrics.json``; by default that of the choice.
        items: plural name of the samples.
    """

    def __init__(self, choice: str, name: str | None = None, items: str = "images") -> None:
        self.choice, self.name, self.items = choice, name or choice, items

    def take(self, batch: ScoredBatch) -> dict[str, Tensor]:
        classes = batch.prediction.new_full((len(batch.prediction),), batch.prediction.shape[1]).long()
        return {
            "true": batch.target[self.choice],
            "predicted": batch.prediction.argmax(dim=1),
            "classes": classes,
        }

    def scores(
        self, predicted: NDArray[np.integer], true: NDArray[np.integer], classes: int
    ) -> tuple[dict[str, Any], dict[str, Sequence[Any]]]:
        """The scores of all samples, and further columns for the table."""
        confusion, shares = confusion_and_shares(predicted, true, classes)
        scores = {
            "accuracy": float((predicted == true).mean()),
            "chance": 1 / classes,
            self.items: len(true),
            f"{self.choice}s": classes,
            f"accuracy_by_{self.choice}": shares.tolist(),
            "confusion": confusion.tolist(),
        }
        return scores, {}

    def results(self, taken: Mapping[str, Tensor], items: Sequence[Mapping[str, Any]], title: str) -> CollectorResults:
        true, predicted = taken["true"].numpy(), taken["predicted"].numpy()
        scores, columns = self.scores(predicted, true, int(taken["classes"][0]))
        columns = {self.choice: true.tolist(), f"predicted_{self.choice}": predicted.tolist()} | columns
        return CollectorResults({self.name: scores}, columns)


class JigsawScores(ChoiceScores):
    """A `Collector` of logits that predict in which permutation an image's tiles were shown.

    ``metrics.json`` gets ``jigsaw``: ``accuracy``, the share of puzzles with the correct permutation, and ``chance``, the
    accuracy of guessing; ``tiles_in_place``, the share of tiles in their correct places if the puzzles are solved with the
    predicted permutations, also a column of the table, and ``tiles_in_place_chance``, its value for random permutations;
    and the numbers of ``puzzles`` and ``permutations``.

    Args:
        pretext: the transform that made the puzzles.
    """

    def __init__(self, pretext: JigsawTilesd) -> None:
        super().__init__("permutation", "jigsaw")
        self.permutations = pretext.permutations.numpy()

    def scores(
        self, predicted: NDArray[np.integer], true: NDArray[np.integer], classes: int
    ) -> tuple[dict[str, Any], dict[str, Sequence[Any]]]:
        # the tile at position s goes to cell p(s) of the predicted permutation
        in_place = (self.permutations[predicted] == self.permutations[true]).mean(axis=-1)
        # the probability that two random permutations both have tile v at position s is the square of the share of
        # permutations with this tile at this position
        shares = (self.permutations[:, :, None] == np.arange(self.permutations.shape[1])).mean(axis=0)
        scores = {
            "accuracy": float((predicted == true).mean()),
            "chance": 1 / len(self.permutations),
            "tiles_in_place": float(in_place.mean()),
            "tiles_in_place_chance": float(np.square(shares).sum(axis=1).mean()),
            "puzzles": len(true),
            "permutations": len(self.permutations),
        }
        return scores, {"tiles_in_place": in_place.tolist()}


class PatchPredictionScores:
    """A `Collector` of the similarity between each of Q predictions and each of P patches, ``(B, Q, P)``
    (`planewise.networks.PredictiveCodingLearner`).

    - ``metrics.json``: ``prediction``: how often predictions identify their patches, ``accuracy`` and ``chance`` (the
      accuracy of guessing) among the candidates; ``accuracy_of_all`` and ``chance_of_all`` among all patches; and the number
      of ``predictions``;
    - the table of samples: ``found``, the share of a sample's patches that were found among the candidates.

    Targets contain ``candidates``, from `planewise.pretexts.OverlappingPatchesd`.
    """

    def take(self, batch: ScoredBatch) -> dict[str, Tensor]:
        target: Mapping[str, Tensor] = batch.target  # type: ignore[assignment]
        scores = candidate_scores(batch.prediction, target)
        found = found_first(scores, scores.new_zeros(len(scores)).long())
        sizes = scores.new_tensor([[scores.shape[1], batch.prediction.shape[2]]]).long()
        return {
            "found": found.reshape(batch.prediction.shape[:2]),
            "found_of_all": found_first(batch.prediction, target["candidates"][..., 0]),
            "sizes": sizes,
        }

    def results(self, taken: Mapping[str, Tensor], items: Sequence[Mapping[str, Any]], title: str) -> CollectorResults:
        candidates, patches = taken["sizes"][0].tolist()
        scores = {
            "accuracy": float(taken["found"].double().mean()),
            "chance": 1 / candidates,
            "accuracy_of_all": float(taken["found_of_all"].double().mean()),
            "chance_of_all": 1 / patches,
            "predictions": taken["found"].numel(),
        }
        return CollectorResults({"prediction": scores}, {"found": taken["found"].mean(dim=1).tolist()})


@dataclass(eq=False, repr=False)
class RetrievalScores:
    """A `Collector` of embeddings of two views of each slice or volume, ``(B, 2, D)``
    (`planewise.engines.ViewsInferer`); further views are ignored.

    ``metrics.json`` gets ``retrieval``. ``top1`` and ``top5`` are the top-1 and top-5 accuracies of retrieving a slice's
    other view among ``candidates`` slices; ``chance1`` and ``chance5`` are their chance levels. ``spread`` and
    ``effective_rank`` of the embeddings show whether they have collapsed (`planewise.metrics.embedding_spread`,
    `planewise.metrics.effective_rank`).

    Args:
        distance: measure of similarity, see `planewise.metrics.retrieval_accuracy`.
        candidates: maximum number of slices to search, evenly spaced over the dataset.
    """

    distance: Literal["cosine", "l2"] = "cosine"
    candidates: int = 256

    def take(self, batch: ScoredBatch) -> dict[str, Tensor]:
        return {"views": batch.prediction[:, :2]}

    def results(self, taken: Mapping[str, Tensor], items: Sequence[Mapping[str, Any]], title: str) -> CollectorResults:
        views = taken["views"]
        views = views[evenly_spaced(len(views), self.candidates)]
        top1, top5 = retrieval_accuracy(views, (1, 5), self.distance)
        one_view = views[:, 0]
        metrics = {
            "candidates": len(views),
            "top1": top1,
            "top5": top5,
            "chance1": 1 / len(views),
            "chance5": min(1.0, 5 / len(views)),
            "spread": embedding_spread(one_view),
            "effective_rank": effective_rank(one_view),
            "dimensions": views.shape[2],
        }
        return CollectorResults({"retrieval": metrics})
