"""Score how well a pretext's features predict a slice's location, for `PretextReport`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from sklearn.model_selection import GroupKFold, cross_val_predict
from torch import Tensor, nn

from planewise.data import SliceDataset
from planewise.engines import AutocastInferer
from planewise.evaluation.collector import CollectorResults, ScoredBatch, drawn_at
from planewise.evaluation.slice_features import frozen_features, lacks_encoder
from planewise.geometry import centrosymmetric
from planewise.metrics import location_scores, mean_distance_of_others, nearest_neighbours, ridge_probe
from planewise.preprocessing.limit_slices import evenly_spaced
from planewise.reports.pretext_figures import regression_plot


@dataclass(eq=False, repr=False)
class ProbeScores:
    """A `Collector` with the same probe for every pretext. It uses frozen features of the preprocessed slices, averaged
    over the encoder's deepest level (`encoder_features`).

    - ``metrics.json``: ``probe``. ``location`` scores how well a ridge regression predicts the relative location of a
      slice (`planewise.metrics.location_scores`); each fold of patients is predicted from the other folds.
      ``neighbour_mae`` is the mean difference of location between a slice and its nearest neighbour among the slices of
      other patients; ``chance_mae`` is the same for a random neighbour.
    - ``probe.csv``: ``exam``, ``stack``, ``slice``, ``phase``, ``location``, ``probed_location``, ``neighbour_location``.
    - ``probe.png``: the regression.

    It runs the network on the slices itself, because the inputs of some pretexts are not whole slices. Slices with
    unknown location are left out. With fewer than two patients with known locations, or without an encoder, the scores
    are NaN.

    Args:
        network: network with an ``encoder``; your own network may lack one.
        dataset: the evaluator's slices.
        mapping: ``"linear"``, or ``"sine"`` (Zhang 2024 Eq. 4) if the two ends of a stack look alike.
        amp: precision of the network, see `planewise.engines.precision`.
        batch_size: number of slices per call of the network.
        max_slices: maximum number of slices, evenly spaced over the dataset.
        folds: number of folds of patients.
    """

    network: nn.Module
    dataset: SliceDataset
    mapping: Literal["linear", "sine"] = "linear"
    amp: bool | str | None = False
    batch_size: int = 64
    max_slices: int = 4000
    folds: int = 5

    def take(self, batch: ScoredBatch) -> dict[str, Tensor]:
        return {}

    def results(self, taken: Mapping[str, Tensor], items: Sequence[Mapping[str, Any]], title: str) -> CollectorResults:
        own = self.dataset.items
        known = [row for row, item in enumerate(own) if np.isfinite(item.get("location", np.nan))]
        rows = [known[rank] for rank in evenly_spaced(len(known), self.max_slices)]
        exams = [own[row]["exam"] for row in rows]
        patients = [own[row].get("patient") or own[row]["exam"] for row in rows]
        if lacks_encoder(self.network) or len(set(patients)) < 2:
            absent = {"slices": len(rows), "exams": len(set(exams))}
            scores = location_scores([], []) | {"slices": len(rows)}
            return CollectorResults(
                {"probe": {**absent, "location": scores, "neighbour_mae": np.nan, "chance_mae": np.nan}}
            )
        location = torch.tensor([float(own[row]["location"]) for row in rows])
        location = centrosymmetric(location) if self.mapping == "sine" else location
        features = frozen_features(self.network, self.dataset, rows, AutocastInferer(self.amp), self.batch_size)
        # a ridge regression on the slices of patients in other folds
        folds = GroupKFold(min(self.folds, len(set(patients))))
        values = features.double().numpy(), location.double().numpy()
        probed = cross_val_predict(ridge_probe(), *values, groups=patients, cv=folds)
        neighbour = location[nearest_neighbours(features, patients)[:, 0]]
        scores = location_scores(probed.tolist(), location.tolist())
        metrics = {
            "slices": len(rows),
            "exams": len(set(exams)),
            "features": features.shape[1],
            "location": scores,
            "neighbour_mae": float((neighbour - location).abs().mean()),
            "chance_mae": mean_distance_of_others(location, patients),
        }
        table = {key: [own[row].get(key, "") for row in rows] for key in ("exam", "stack", "slice", "phase")}
        table |= {
            "location": location.tolist(),
            "probed_location": probed.tolist(),
            "neighbour_location": neighbour.tolist(),
        }
        title = f"{title} frozen features".strip()
        draw = drawn_at(120, regression_plot, probed, location.numpy(), scores, title)
        return CollectorResults({"probe": metrics}, tables={"probe.csv": table}, figures={"probe.png": draw})
