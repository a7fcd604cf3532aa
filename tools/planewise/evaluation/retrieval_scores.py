"""Scores of methods that learn from two views of each slice, for `PretextReport`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor, nn

from planewise.data import SliceDataset
from planewise.engines import AutocastInferer
from planewise.evaluation.frozen_features import frozen_features
from planewise.evaluation.pretext_report import CollectorResults, ScoredBatch, middle_layer
from planewise.metrics import effective_rank, embedding_spread, nearest_neighbours, retrieval_accuracy
from planewise.preprocessing.limit_slices import evenly_spaced
from planewise.reports.image_pretext_figures import neighbour_gallery

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(eq=False, repr=False)
class RetrievalScores:
    """A `Collector` of embeddings of two views of each slice or volume, ``(B, 2, D)``
    (`planewise.engines.ViewsInferer`); further views are ignored.

    - ``metrics.json``: ``retrieval``. ``top1`` and ``top5`` are the top-1 and top-5 accuracies of retrieving a slice's
      other view among ``candidates`` slices; ``chance1`` and ``chance5`` are their chance levels. ``spread`` and
      ``effective_rank`` of the embeddings show whether they have collapsed (`planewise.metrics.embedding_spread`,
      `planewise.metrics.effective_rank`).
    - ``neighbours.png``: some slices, and the most similar slices of other patients, without augmentation.

    Args:
        network: network with an ``encoder``.
        dataset: the evaluator's slices.
        amp: precision of the network, see `planewise.engines.precision`.
        distance: measure of similarity, see `planewise.metrics.retrieval_accuracy`.
        candidates: maximum number of slices to search, evenly spaced over the dataset.
        shown: number of slices in the picture.
        neighbours: number of neighbours shown for each of these slices.
    """

    network: nn.Module
    dataset: SliceDataset
    amp: bool | str | None = False
    distance: Literal["cosine", "l2"] = "cosine"
    candidates: int = 256
    shown: int = 6
    neighbours: int = 4

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
        draw = self._picture(title)
        return CollectorResults({"retrieval": metrics}, figures={"neighbours.png": draw} if draw else {})

    def _picture(self, title: str) -> Callable[[], Figure] | None:
        own = self.dataset.items
        rows = evenly_spaced(len(own), 16 * self.candidates)
        patients = [own[row].get("patient") or own[row]["exam"] for row in rows]
        largest = max(Counter(patients).values())
        count = min(self.neighbours, len(rows) - largest)
        if count < 1:
            return None  # a single patient has no neighbours among other patients
        features = frozen_features(self.network, self.dataset, rows, AutocastInferer(self.amp))
        found = nearest_neighbours(features, patients, count)
        images, captions = [], []
        for rank in evenly_spaced(len(rows), self.shown):
            line = [rows[rank], *(rows[index] for index in found[rank].tolist())]
            image = self.dataset.__getitems__(line)["image"][:, 0].cpu()
            images.append(list(middle_layer(image, image.ndim - 1).numpy()))
            captions.append([_caption(own[row]) for row in line])
        return partial(neighbour_gallery, images, captions, title)


def _caption(item: Mapping[str, Any]) -> str:
    """The exam, with the slice's location or number if known; a volume has neither."""
    exam, location = str(item["exam"])[:6], item.get("location")
    if location is not None:
        return f"{exam}, location {location:.2f}"
    return f"{exam}, slice {item['slice']}" if "slice" in item else exam
