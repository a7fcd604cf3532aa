"""Locations and order of slices: their scores for `PretextReport`, and labels of a stack for a viewer, with a verdict."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

from planewise.data.datalist import rows_by_stack, slice_position
from planewise.evaluation.report import CollectorResults, ScoredBatch
from planewise.evaluation.writers import ExamWriter
from planewise.geometry import location_order, order_strength
from planewise.losses import predicted_location
from planewise.metrics import location_scores
from planewise.metrics.pretexts import mirrored, places_by_votes
from planewise.networks import SharedEncoderNet
from planewise.reports.pretext_figures import regression_plot
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.reports.tables import json_values, write_json

logger = logging.getLogger(__name__)
Mapped = Literal["linear", "sine"]
#: Upper bounds of the labels 1, 2, ...: thirds of the stack. With the sine (Zhang 2024 Eq. 4), label 1 is both outer thirds.
_THIRDS: Mapping[str, tuple[float, ...]] = {"linear": (1 / 3, 2 / 3), "sine": (float(np.sin(np.pi / 3)),)}
_NO_ORDER = "no order"


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
        draw = partial(regression_plot, predicted.numpy(), reference.numpy(), scores, title)
        return CollectorResults({"location": scores}, columns, figures={"regression.png": draw})


class SliceOrderScores:
    """A `Collector` of a pair network's predictions for all pairs of every stack, with each phase separate.

    The evaluator goes over slices, not pairs, and returns the encoder's features of each slice, ``(B, D, 1)``
    (`planewise.engines.FeatureInferer`); this class applies the head to all pairs of features. So for n slices, the
    encoder runs n times instead of n (n - 1) times.

    - ``metrics.json``: ``slice_order``: accuracy of all ordered pairs, of pairs whose slices mirror each other about
      the centre of their stack (Zhang 2024, discussion of Table 5: if both halves look alike, their order cannot be
      seen) and of the other pairs; and, for the order of whole stacks from the votes of their pairs, the rank
      correlation and the share of stacks whose first end is recognised, of stacks with three slices or more. Scores of
      no pairs or stacks are NaN;
    - ``slices.csv``: ``place`` and ``predicted_place`` in the stack, from 0 to 1; empty for a single slice.

    Args:
        network: network whose head takes the features of two slices.
    """

    def __init__(self, network: SharedEncoderNet) -> None:
        self.network = network

    def take(self, batch: ScoredBatch) -> dict[str, Tensor]:
        return {"features": batch.prediction[..., 0]}

    def results(self, taken: Mapping[str, Tensor], items: Sequence[Mapping[str, Any]], title: str) -> CollectorResults:
        columns = {name: [float("nan")] * len(items) for name in ("place", "predicted_place")}
        correct, mirror, correlations = [], [], []
        for rows in rows_by_stack(items).values():
            if len(rows) < 2:
                continue
            # the relative locations if all are known, otherwise the positions, scaled to the stack
            places = np.array([slice_position(items[row]) for row in rows])
            if not all(np.isfinite(items[row].get("location", np.nan)) for row in rows):
                places = (places - places[0]) / (places[-1] - places[0])
            logits = pair_logits(self.network, taken["features"][rows])
            predicted = places_by_votes(logits)
            first, second = np.nonzero(~np.eye(len(rows), dtype=bool))
            correct.append((logits[first, second] > 0) == (places[first] < places[second]))
            mirror.append(mirrored(places[first], places[second]))
            correlations += [spearmanr(predicted, places).statistic] * (len(rows) > 2)
            for row, place, found in zip(rows, places.tolist(), predicted.tolist(), strict=True):
                columns["place"][row], columns["predicted_place"][row] = place, found
        if not correct:
            return CollectorResults({"slice_order": {"pairs": 0, "stacks": 0}}, columns)
        right, mirrors, ranks = np.concatenate(correct), np.concatenate(mirror), np.array(correlations)
        scores = {
            "accuracy": _mean(right),
            "chance": 0.5,
            "pairs": len(right),
            "mirrored_accuracy": _mean(right[mirrors]),
            "mirrored_pairs": int(mirrors.sum()),
            "other_accuracy": _mean(right[~mirrors]),
            "stacks": len(ranks),
            "rank_correlation": _mean(ranks),
            "direction": _mean(ranks > 0),
        }
        return CollectorResults({"slice_order": scores}, columns)


def _mean(values: NDArray[Any]) -> float:
    """The mean; NaN if there are no values."""
    return float(np.mean(values)) if len(values) else float("nan")


def pair_logits(network: SharedEncoderNet, features: Tensor) -> NDArray[np.floating]:
    """The logits ``(k, k)`` of a network for two slices for every ordered pair of the encoder's features ``(k, D)``;
    the row is the first slice of the pair, the column the second."""
    weights = next(network.head.parameters())
    features, count = features.to(weights), len(features)
    first, second = features[:, None].expand(-1, count, -1), features[None].expand(count, -1, -1)
    with torch.no_grad():
        return network.head(torch.cat([first, second], dim=-1))[..., 0].float().cpu().numpy()


@dataclass(eq=False, repr=False)
class LabelSlicesd(Transform):
    """Label whole slices by their location, and also return the locations as numbers.

    MONAI Label shows ``pred`` as labels and returns ``result`` as JSON; a viewer truncates floats to whole numbers.

    Reads ``pred``, ``(1, i, j, slices)``, the location, constant over each slice. Writes

    - ``pred``: labels ``(1, i, j, slices)``, uint8. With the linear mapping, labels 1, 2 and 3 mark the thirds from
      location 0 to 1; with the sine, label 1 marks the outer thirds and label 2 the middle third. A stack without order
      has no label.
    - ``locations``: ``(slices,)``.
    - ``result``: locations, order and verdict as plain values, None for unknown numbers.

    Args:
        mapping: mapping of the location, ``"linear"`` (Zhang 2024 Eq. 3) or ``"sine"`` (Eq. 4).
        min_order: smallest accepted order (`location_order`); for the linear mapping, the smallest accepted absolute
            value. Below it, the verdict is "no order".
        start: name of the slice at location 0, for the linear mapping.
    """

    mapping: Mapped = "linear"
    min_order: float = 0.7
    start: str = "basal"

    def locations(self, item: Mapping[Hashable, Any]) -> NDArray[np.floating]:
        """The location of each slice, ``(slices,)``, read at the middle of the slice, which is on the volume's grid
        despite any padding."""
        channel = np.asarray(item["pred"][0].cpu())
        return channel[channel.shape[0] // 2, channel.shape[1] // 2]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        prediction, locations = item["pred"], self.locations(item)
        order, verdict = self.judged(locations)
        numbers = np.searchsorted(_THIRDS[self.mapping], locations, side="right") + 1
        if verdict == _NO_ORDER:
            numbers[:] = 0
        labels = torch.as_tensor(numbers, dtype=torch.uint8).expand(prediction.shape).clone()
        item["pred"] = MetaTensor(labels, meta=prediction.meta) if isinstance(prediction, MetaTensor) else labels
        item["locations"] = locations
        result = {"note": RESEARCH_ONLY, **item.get("result", {}), "verdict": verdict, "order": round(order, 3)}
        item["result"] = json_values(result | {"locations": [round(float(value), 4) for value in locations]})
        return item

    def judged(self, locations: NDArray[np.floating]) -> tuple[float, str]:
        """The order of a stack with these locations of its slices (`location_order`), and the verdict in words."""
        order = location_order(locations, self.mapping)
        if not order_strength(order, self.mapping) >= self.min_order:
            return order, _NO_ORDER
        if self.mapping == "sine":
            # the middle is the balance point of the locations, which is more stable than their maximum
            above = np.clip(locations - 0.5 * (locations.min() + locations.max()), 0, None)
            middle = round(float(above @ np.arange(len(locations)) / above.sum())) + 1
            return order, f"slice {middle} of {len(locations)}, from the stack's first end, is the middle"
        return order, f"{'first' if order > 0 else 'last'} slice is {self.start}"


class OrderSlicesd(LabelSlicesd):
    """Put the slices of a stack in order by the votes of all their pairs (`places_by_votes`), and name its ends.

    Reads ``features``, ``(slices, D)``, from `SliceFeaturesd`, and the shape of ``pred``, ``(1, i, j, slices)``. Writes
    the same entries as `LabelSlicesd`. A location is the slice's position in the predicted order, from 0 for the first to 1
    for the last.

    Args:
        network: network whose head takes the features of two slices.
        min_order, start: see `LabelSlicesd`.
    """

    def __init__(self, network: SharedEncoderNet, min_order: float = 0.7, start: str = "basal") -> None:
        super().__init__(min_order=min_order, start=start)
        self.network = network

    def locations(self, item: Mapping[Hashable, Any]) -> NDArray[np.floating]:
        return places_by_votes(pair_logits(self.network, torch.as_tensor(item["features"])))


class LocationWriter(ExamWriter):
    """For every stack, write its slices' relative locations into ``output_dir/<exam>/locations.json``: the location of each
    slice; the conclusions (which end of a short-axis stack is the base; which slice of a knee is its middle); and how well
    the locations follow the expected order (`location_order`).

    The verdict "no order" means that the stack shows another organ than the network's training data, or that its slices
    run in another direction.

    The inference's postprocessing runs `LabelSlicesd` or `OrderSlicesd`.

    Args:
        output_dir: folder for the results.
    """

    def write(self, exam: str, folder: Path, item: Mapping[str, Any], output: Mapping[str, Any]) -> None:
        locations, result = output["locations"], output["result"]
        known = {name: result[name] for name in ("note", "verdict", "order")}
        write_json(folder / "locations.json", known | {"locations": locations.tolist()})
        logger.info("exam %s: %s (order %s)", exam, result["verdict"], result["order"])
