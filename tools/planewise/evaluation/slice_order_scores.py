"""Scores of slice ordering, for `PretextReport`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from planewise.data.datalist import rows_by_stack, slice_position
from planewise.evaluation.collector import CollectorResults, ScoredBatch
from planewise.metrics.slice_order import (
    accuracy_by_distance,
    order_scores,
    pairs_of_stack,
    places_by_votes,
    stack_scores,
)
from planewise.networks import SharedEncoderNet
from planewise.reports.image_pretext_figures import order_accuracy_figure


class SliceOrderScores:
    """A `Collector` of a pair network's predictions for all pairs of every stack, with each phase separate.

    The evaluator goes over slices, not pairs, and returns the encoder's features of each slice, ``(B, D, 1)``
    (`planewise.engines.FeatureInferer`); this class applies the head to all pairs of features. So for n slices, the
    encoder runs n times instead of n (n - 1) times.

    - ``metrics.json``: ``slice_order``: accuracy of all ordered pairs, of pairs whose slices mirror each other about
      the centre of their stack (Zhang 2024, discussion of Table 5: if both halves look alike, their order cannot be
      seen) and of the other pairs; and, for the order of whole stacks from the votes of their pairs, the rank
      correlation and the share of stacks whose first end is recognised;
    - ``slices.csv``: ``place`` and ``predicted_place`` in the stack, from 0 to 1; empty for a single slice;
    - ``order_accuracy.csv``: accuracy by distance, with mirrored pairs separate;
    - ``order_accuracy.png``: the same as a plot, and accuracy by the locations of the two slices.

    Args:
        network: network whose head takes the features of two slices.
    """

    def __init__(self, network: SharedEncoderNet) -> None:
        self.network = network

    def take(self, batch: ScoredBatch) -> dict[str, Tensor]:
        return {"features": batch.prediction[..., 0]}

    def results(self, taken: Mapping[str, Tensor], items: Sequence[Mapping[str, Any]], title: str) -> CollectorResults:
        columns = {name: [float("nan")] * len(items) for name in ("place", "predicted_place")}
        pairs, predicted, true = [], [], []
        for rows in rows_by_stack(items).values():
            if len(rows) < 2:
                continue
            places = stack_places([items[row] for row in rows])
            logits = pair_logits(self.network, taken["features"][rows])
            pairs.append(pairs_of_stack(logits, places))
            predicted.append(places_by_votes(logits))
            true.append(places)
            for row, place, found in zip(rows, places.tolist(), predicted[-1].tolist(), strict=True):
                columns["place"][row], columns["predicted_place"][row] = place, found
        if not pairs:
            return CollectorResults({"slice_order": {"pairs": 0, "stacks": 0}}, columns)
        together = {name: np.concatenate([stack[name] for stack in pairs]) for name in pairs[0]}
        scores = order_scores(together) | stack_scores(predicted, true)
        table = accuracy_by_distance(together)
        draw = partial(order_accuracy_figure, together, table, scores, title)
        return CollectorResults(
            {"slice_order": scores}, columns, {"order_accuracy.csv": table}, {"order_accuracy.png": draw}
        )


def stack_places(items: Sequence[Mapping[str, Any]]) -> NDArray[np.floating]:
    """Where the slices lie between the ends of their stack, from 0 to 1: their relative locations if all are known, otherwise
    their positions, scaled to the stack. The items are in the stack's order."""
    positions = np.array([slice_position(item) for item in items])
    located = all(np.isfinite(item.get("location", np.nan)) for item in items)
    return positions if located else (positions - positions[0]) / (positions[-1] - positions[0])


def pair_logits(network: SharedEncoderNet, features: Tensor) -> NDArray[np.floating]:
    """The head's logits for every ordered pair of slices.

    Args:
        network: network for two slices, with one logit.
        features: features of the encoder, ``(k, D)``.

    Returns:
        ``(k, k)``; the row is the first slice of the pair, the column the second.
    """
    weights = next(network.head.parameters())
    features, count = features.to(weights), len(features)
    first, second = features[:, None].expand(-1, count, -1), features[None].expand(count, -1, -1)
    with torch.no_grad():
        return network.head(torch.cat([first, second], dim=-1))[..., 0].float().cpu().numpy()
