from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from planewise.evaluation import OrderSlicesd, ScoredBatch, SliceOrderScores
from planewise.networks import SharedEncoderNet, UNetEncoder

#: Two stacks, one with locations and one with ranks; a single slice; and the first stack's other phase.
ITEMS = [
    *(
        {"exam": "a", "stack": "sax", "slice": k, "location": place, "phase": 0.0}
        for k, place in enumerate((0, 0.2, 1))
    ),
    *({"exam": "b", "stack": "sax", "slice": k} for k in (2, 3, 4, 5)),
    {"exam": "c", "stack": "sax", "slice": 0},
    *({"exam": "a", "stack": "sax", "slice": k, "location": place, "phase": 0.5} for k, place in enumerate((0, 0.2))),
]


def network(weight: float = 1.0) -> SharedEncoderNet:
    """A network that says which slice is nearer to the base: the one with the smaller first feature, if the weight is
    positive.
    """
    net = SharedEncoderNet(UNetEncoder((4, 8)), 2, 1)
    with torch.no_grad():
        net.head[0].weight.zero_()
        net.head[0].bias.zero_()
        net.head[0].weight[0, [0, 8]] = torch.tensor([-weight, weight])
    return net


def features_of(values) -> torch.Tensor:
    features = torch.zeros(len(values), 8)
    features[:, 0] = torch.as_tensor(values, dtype=torch.float32)
    return features


def results_of(values, weight: float = 1.0, items=ITEMS):
    collector = SliceOrderScores(network(weight))
    none = torch.zeros(len(values), dtype=torch.bool)
    taken = collector.take(ScoredBatch(torch.zeros(len(values), 1, 4, 4), {}, features_of(values)[..., None], none))
    return collector.results(taken, items, "a phantom")


def test_right_features_give_right_orders():
    # only the order of the values within a stack matters
    results = results_of([-1, 0, 5, 7, 8, 9, 10, 0, 3, 4])
    scores = results.metrics["slice_order"]
    # 3 * 2 + 4 * 3 + 2 * 1 ordered pairs
    assert (scores["accuracy"], scores["pairs"]) == (1, 20)
    assert (scores["stacks"], scores["rank_correlation"], scores["direction"]) == (2, pytest.approx(1), 1)
    places, predicted = results.columns["place"], results.columns["predicted_place"]
    assert places[:7] == pytest.approx([0, 0.2, 1, 0, 1 / 3, 2 / 3, 1]) and places[8:] == pytest.approx([0, 0.2])
    assert predicted[:7] == pytest.approx([0, 0.5, 1, 0, 1 / 3, 2 / 3, 1])
    assert math.isnan(places[7]) and math.isnan(predicted[7]), "a slice alone has no order"


def test_pairs_that_mirror_each_other_are_scored_apart():
    # of places 0, 0.2 and 1, the last two are in the wrong order, and the first and the last mirror each other
    scores = results_of([0, 5, 1], items=ITEMS[:3]).metrics["slice_order"]
    assert scores == {
        "accuracy": pytest.approx(4 / 6), "chance": 0.5, "pairs": 6, "mirrored_accuracy": 1.0, "mirrored_pairs": 2,
        "other_accuracy": 0.5, "stacks": 1, "rank_correlation": pytest.approx(0.5), "direction": 1.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "verdict", "labels"),
    [
        ([1, 2, 3, 4], "first slice is basal", [1, 2, 3, 3]),
        ([4, 3, 2, 1], "last slice is basal", [3, 3, 2, 1]),
        ([2, 4, 1, 3], "no order", [0, 0, 0, 0]),
        ([1, 2], "no order", [0, 0]),
        ([1], "no order", [0]),
    ],
)
def test_the_order_of_a_stack_from_its_features(values, verdict, labels):
    item = {
        "features": features_of(values).numpy(),
        "pred": torch.zeros(1, 3, 2, len(values)),
        "result": {"features": 1},
    }
    ordered = OrderSlicesd(network())(item)
    assert ordered["result"]["verdict"] == verdict and ordered["result"]["features"] == 1
    places = np.argsort(np.argsort(values)) / max(len(values) - 1, 1)
    assert ordered["locations"].tolist() == pytest.approx(places.tolist())
    assert ordered["pred"].shape == (1, 3, 2, len(values)) and ordered["pred"].dtype == torch.uint8
    assert ordered["pred"][0, 1, 1].tolist() == labels
