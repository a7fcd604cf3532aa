"""Features of a frozen network: in files and for MONAI Label, and how well they predict the location of slices and the labels
of a task."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from monai.engines import PrepareBatch, default_prepare_batch
from monai.networks import eval_mode
from monai.transforms import Transform
from sklearn.model_selection import GroupKFold, cross_val_predict
from torch import Tensor, nn

from planewise.data import BatchLoader, SliceDataset, select_subjects
from planewise.engines import AutocastInferer
from planewise.evaluation.report import CollectorResults, ScoredBatch
from planewise.evaluation.writers import ExamWriter, no_labels
from planewise.files.atomic_write import atomic_write
from planewise.geometry import centrosymmetric
from planewise.metrics import linear_probe, location_scores, ridge_probe
from planewise.networks import encoder_features
from planewise.preprocessing.limit_slices import evenly_spaced
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.reports.tables import json_values, write_csv, write_json

logger = logging.getLogger(__name__)
#: Number of folds of patients in a probe of locations.
_FOLDS = 5


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

    def __init__(self, encoder_of: nn.Module | None = None, inferer: Callable[..., Any] | None = None) -> None:
        if encoder_of is not None and inferer is None:
            raise ValueError("encoder_of needs an inferer that runs its encoder; pass a FeatureInferer as inferer")
        self.encoder_of = encoder_of
        self.bare = encoder_of is not None and lacks_encoder(encoder_of)
        self.inferer = inferer

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


def frozen_features(
    network: nn.Module, dataset: SliceDataset, rows: Sequence[int], inferer: Callable[..., Tensor], batch_size: int = 64
) -> Tensor:
    """The features of some preprocessed slices, ``rows`` of a dataset (`encoder_features`), ``(N, D)``, float32, on
    the CPU. The inferer runs the network, such as `planewise.engines.AutocastInferer`."""
    device = next(network.parameters()).device
    found = []
    with torch.no_grad(), eval_mode(network):
        for start in range(0, len(rows), batch_size):
            image = dataset.__getitems__(rows[start : start + batch_size])["image"].to(device)
            found.append(inferer(image, lambda image: encoder_features(network, image)).cpu())
    return torch.cat(found)


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
        if lacks_encoder(self.network) or len(set(patients)) < 2:
            scores = location_scores([], []) | {"slices": len(rows)}
            return CollectorResults({"probe": {"slices": len(rows), "exams": len(set(exams)), "location": scores}})
        location = torch.tensor([float(own[row]["location"]) for row in rows])
        location = centrosymmetric(location) if self.mapping == "sine" else location
        features = frozen_features(self.network, self.dataset, rows, AutocastInferer(self.amp))
        # a ridge regression on the slices of patients in other folds
        folds = GroupKFold(min(_FOLDS, len(set(patients))))
        values = features.double().numpy(), location.double().numpy()
        probed = cross_val_predict(ridge_probe(), *values, groups=patients, cv=folds)
        metrics = {
            "slices": len(rows),
            "exams": len(set(exams)),
            "features": features.shape[1],
            "location": location_scores(probed.tolist(), location.tolist()),
        }
        return CollectorResults({"probe": metrics})


def probe_labels(
    network: nn.Module,
    fitted: Any,
    scored: Any,
    score: Callable[[Tensor, Tensor], float],
    counts: Sequence[int],
    draws: int,
    output_dir: str | Path,
    score_name: str = "score",
    targets: Callable[[Tensor], Tensor] | None = None,
    prepare_batch: PrepareBatch = default_prepare_batch,
    inferer: Callable[..., Tensor] | None = None,
    batch_size: int = 16,
) -> dict[str, Any]:
    """Score a linear probe on the inputs of the network's ``head``, and write ``metrics.json``.

    The encoder is not trained; its weights are pretrained, or random if no weights were loaded. A ridge regression
    (`linear_probe`) is fitted to the few labelled exams that a fine-tuning run would use with the same ``num_subjects`` and
    ``subject_seed``. It predicts the exams of ``scored``.

    Args:
        network: network with a ``head`` (`planewise.networks.NamedParts`).
        fitted, scored: the datasets of all training exams, whose ``items`` name their ``exam``, and of the predicted exams.
        score: the task's score of logits ``(N, K)`` and labels, such as `planewise.metrics.grade_kappa`. It gets the
            predicted targets minus one half.
        counts: numbers of labelled exams.
        draws: number of draws of these exams; draw d has ``subject_seed`` d. Of all exams, there is a single draw.
        output_dir: folder for ``metrics.json``: ``{"score": name, "features": D, "exams": number of predicted exams,
            "linear": {count: [score of each draw]}}``. A score that is undefined is null.
        score_name: the score's name for people, such as ``"kappa"``.
        targets: turns labels into targets between 0 and 1, ``(N, K)``; None takes the labels themselves.
        prepare_batch, inferer: as for the bundle's evaluator; without an inferer, the network is called.
        batch_size: number of exams per call of the network.

    Returns:
        The content of ``metrics.json``.

    Raises:
        InputError: a count exceeds the number of training exams.
    """

    def read(dataset: Any) -> tuple[Tensor, Tensor]:
        return _head_inputs(network, BatchLoader(dataset, batch_size=batch_size), prepare_batch, inferer)

    exams = [item["exam"] for item in fitted.items]
    # refuse a count that is too large before anything is computed
    chosen = {
        count: [
            {item["exam"] for item in select_subjects(fitted.items, count, draw)}
            for draw in range(draws if count < len(set(exams)) else 1)
        ]
        for count in counts
    }
    (features, labels), (queries, wanted) = read(fitted), read(scored)
    encoded = labels if targets is None else targets(labels)
    scores: dict[int, list[float]] = {count: [] for count in chosen}
    for count, of_draws in chosen.items():
        for names in of_draws:
            rows = [row for row, exam in enumerate(exams) if exam in names]
            predicted = linear_probe(features[rows], encoded[rows], queries)
            scores[count].append(score(predicted.nan_to_num(0.5) - 0.5, wanted))
    found = {"score": score_name, "features": features.shape[1], "exams": len(queries), "linear": scores}
    found = json_values(found)
    file = Path(output_dir) / "metrics.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, found)
    logger.info(f"{len(exams)} training exams, {len(queries)} exams predicted; wrote {file}")
    return found


def _head_inputs(
    network: nn.Module, loader: BatchLoader, prepare_batch: PrepareBatch, inferer: Callable[..., Tensor] | None
) -> tuple[Tensor, Tensor]:
    """The head's input for every item, ``(N, D)``, and the items' labels, both on the CPU, float32."""
    device = next(network.parameters()).device
    seen: list[Tensor] = []
    labels: list[Tensor] = []
    hook = network.head.register_forward_pre_hook(lambda head, inputs: seen.append(inputs[0].float().cpu()))
    try:
        with torch.no_grad(), eval_mode(network):
            for batch in loader:
                image, label, args, kwargs = (*prepare_batch(batch, device, False), (), {})[:4]
                if inferer is None:
                    network(image, *args, **kwargs)
                else:
                    inferer(image, network, *args, **kwargs)
                labels.append(label.cpu())
    finally:
        hook.remove()
    return torch.cat(seen), torch.cat(labels)
