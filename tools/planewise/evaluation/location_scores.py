"""Scores of relative location, for `PretextReport`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from planewise.evaluation.collector import CollectorResults, ScoredBatch, drawn_at
from planewise.losses import predicted_location
from planewise.metrics import location_scores
from planewise.reports.pretext_figures import regression_plot


class LocationScores:
    """A `Collector` of the location in the network's last channel.

    - ``metrics.json``: ``location``, the columns of Zhang 2024 Table 2 (`planewise.metrics.location_scores`);
    - ``slices.csv``: ``location``, ``predicted_location``;
    - ``regression.png``: predicted against true location, like Fig. 6 of Zhang 2024.

    Targets contain ``location`` ``(B,)``, NaN if unknown.
    """

    def take(self, batch: ScoredBatch) -> dict[str, Tensor]:
        return {"location": batch.target["location"], "predicted_location": predicted_location(batch.prediction)}

    def results(self, taken: Mapping[str, Tensor], items: Sequence[Mapping[str, Any]], title: str) -> CollectorResults:
        predicted, reference = taken["predicted_location"], taken["location"]
        columns = {"location": reference.tolist(), "predicted_location": predicted.tolist()}
        scores = location_scores(columns["predicted_location"], columns["location"])
        draw = drawn_at(120, regression_plot, predicted.numpy(), reference.numpy(), scores, title)
        return CollectorResults({"location": scores}, columns, figures={"regression.png": draw})
