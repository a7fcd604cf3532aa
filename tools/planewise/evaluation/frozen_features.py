"""Features of a frozen network: in files and for MONAI Label, and how well they predict the location of slices."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from monai.networks import eval_mode
from monai.transforms import Transform
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from planewise.data import SliceDataset
from planewise.engines import AutocastInferer
from planewise.evaluation.report import CollectorResults, ScoredBatch
from planewise.evaluation.writers import ExamWriter, no_labels
from planewise.files.atomic_write import atomic_write
from planewise.geometry import centrosymmetric
from planewise.metrics import location_scores
from planewise.networks import encoder_features
from planewise.preprocessing.resample import evenly_spaced
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.reports.tables import json_values, write_csv

logger = logging.getLogger(__name__)
#: Number of folds of patients in a probe of locations, and of slices in a batch of it.
_FOLDS, _BATCH = 5, 64
#: Candidate strengths of its ridge regression on standardised features; one is chosen on the fitted rows.
_ALPHAS = np.logspace(-2, 4, 13)


@dataclass(eq=False, repr=False)
class SliceFeaturesd(Transform):
    """Add to an item the features of its slices.

    Reads ``image``, ``(C, i, j, slices)``. Writes ``features``, ``(slices, D)``, a float32 array on the CPU, for a network on
    volumes with a single row; and, for MONAI Label, ``result``, its earlier content and ``features`` as plain values, and, if
    there are only features, ``pred``, labels of zero, ``(1, i, j, slices)``, uint8.

    Args:
        encoder_of: a network whose encoder computes the features of ``image``; if it has no ``encoder``, the items stay as
            they are. With None, ``pred`` must be the features, ``(D, slices)``, from `planewise.engines.FeatureInferer`.
        inferer: a `planewise.engines.FeatureInferer`; required with ``encoder_of``.
    """

    encoder_of: nn.Module | None = None
    inferer: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        self.bare = self.encoder_of is not None and lacks_encoder(self.encoder_of)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        if self.bare:
            return item
        image = item["image"]
        if self.encoder_of is None:
            features = item["pred"]
            item["pred"] = no_labels(image)
        else:
            with torch.no_grad():
                features = self.inferer(image[None], self.encoder_of)[0]
        item["features"] = features.T.float().cpu().numpy()
        rounded = [[float(f"{value:.6g}") for value in row] for row in item["features"]]
        item["result"] = json_values({"note": RESEARCH_ONLY, **item.get("result", {}), "features": rounded})
        return item


class FeaturesWriter(ExamWriter):
    """For every stack that has them, write the features of its slices into ``output_dir/<exam>/``.

    - ``features.npy``: ``(slices, D)``, float32, with the slices in the stack's order;
    - ``features.csv``: the same with six digits: ``slice``, counted from 0, and a column for each feature.

    The inference's postprocessing runs `SliceFeaturesd`.

    Args:
        output_dir: folder.
    """

    def write(self, exam: str, folder: Path, item: Mapping[str, Any], output: Mapping[str, Any]) -> None:
        features = output.get("features")
        if features is None:  # the network has no encoder
            return
        with atomic_write(folder / "features.npy") as part, open(part, "wb") as file:
            np.save(file, features)
        columns = {f"feature{number}": column.tolist() for number, column in enumerate(features.T)}
        write_csv(folder / "features.csv", {"slice": range(len(features)), **columns})
        # a photograph and a volume have one row
        of = f" of each of {len(features)} slices" if len(features) > 1 else ""
        logger.info("exam %s: %d features%s", exam, features.shape[1], of)


def lacks_encoder(network: nn.Module) -> bool:
    """Whether a network, such as one of MONAI's, has no ``encoder`` that computes features; if so, log a warning."""
    lacks = not hasattr(network, "encoder")
    if lacks:
        logger.warning("the network has no encoder, so no frozen features are written or scored")
    return lacks


@dataclass(eq=False, repr=False)
class ProbeScores:
    """A `Collector` with the same probe for every pretext: how well a ridge regression predicts the relative location of a
    slice (`planewise.metrics.location_scores`) from frozen features, averaged over the encoder's deepest level
    (`encoder_features`). Each fold of patients is predicted from the other folds. ``metrics.json`` gets ``probe``.

    It runs the network on the slices itself, because the inputs of some pretexts are not whole slices. Slices with
    unknown location are left out. With fewer than two patients with known locations, or without an encoder, the scores
    are NaN.

    Args:
        network: network with an ``encoder``; your own network may lack one.
        dataset: the evaluator's slices.
        mapping: ``"linear"``, or ``"sine"`` (Zhang 2024 Eq. 4) if the two ends of a stack look alike.
        amp: precision of the network, see `planewise.engines.precision`.
        max_slices: maximum number of slices, evenly spaced over the dataset.
    """

    network: nn.Module
    dataset: SliceDataset
    mapping: Literal["linear", "sine"] = "linear"
    amp: bool | str | None = False
    max_slices: int = 4000

    def take(self, batch: ScoredBatch) -> dict[str, Tensor]:
        return {}

    def results(self, taken: Mapping[str, Tensor], items: Sequence[Mapping[str, Any]], title: str) -> CollectorResults:
        own = self.dataset.items
        known = [row for row, item in enumerate(own) if np.isfinite(item.get("location", np.nan))]
        rows = [known[rank] for rank in evenly_spaced(len(known), self.max_slices)]
        exams = [own[row]["exam"] for row in rows]
        patients = [own[row].get("patient") or own[row]["exam"] for row in rows]
        metrics: dict[str, Any] = {"slices": len(rows), "exams": len(set(exams))}
        if lacks_encoder(self.network) or len(set(patients)) < 2:
            metrics["location"] = location_scores([], []) | {"slices": len(rows)}
            return CollectorResults({"probe": metrics})
        location = torch.tensor([float(own[row]["location"]) for row in rows])
        location = centrosymmetric(location) if self.mapping == "sine" else location
        device, inferer = next(self.network.parameters()).device, AutocastInferer(self.amp)
        found = []
        with torch.no_grad(), eval_mode(self.network):
            for start in range(0, len(rows), _BATCH):
                image = self.dataset.__getitems__(rows[start : start + _BATCH])["image"].to(device)
                found.append(inferer(image, lambda image: encoder_features(self.network, image)).cpu())
        features = torch.cat(found)
        # a ridge regression on the slices of patients in other folds
        folds = GroupKFold(min(_FOLDS, len(set(patients))))
        values = features.double().numpy(), location.double().numpy()
        ridge = make_pipeline(StandardScaler(), RidgeCV(_ALPHAS))
        probed = cross_val_predict(ridge, *values, groups=patients, cv=folds)
        metrics |= {"features": features.shape[1], "location": location_scores(probed.tolist(), location.tolist())}
        return CollectorResults({"probe": metrics})
