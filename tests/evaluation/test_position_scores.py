"""Test scores of anatomical positions on maps made by hand."""

from __future__ import annotations

import math

import pytest
import torch
from planewise.evaluation import PositionScores, ScoredBatch

from tests.metrics.test_positions import SIDE, update

ITEMS = [{"exam": f"exam{number}", "slice": number} for number in range(3)]


def results(*updates, examples=()):
    """Results of updates in batches of one slice each."""
    collector = PositionScores(("L", "AS"), size=2.0 * SIDE, step=30.0)
    taken: dict[str, list[torch.Tensor]] = {}
    for row, (logits, target) in enumerate(updates):
        example = torch.tensor([row in examples])
        batch = ScoredBatch(torch.full((1, 1, 64, 64), float(row)), target, logits, example)
        for name, value in collector.take(batch).items():
            taken.setdefault(name, []).append(value)
    return collector.results({name: torch.cat(each) for name, each in taken.items()}, ITEMS[: len(updates)], "")


def test_scores_by_hand():
    found = results(update(0), update(2), update(1, without=3))
    scores = found.metrics["positions"]
    assert list(scores["squares"]) == [
        "crossing", "left", "far left", "right", "far right", "anterior", "far anterior", "posterior", "far posterior",
    ]  # fmt: skip
    left = scores["squares"]["left"]
    assert left["dice"] == pytest.approx((10 + 8 + 9) / 30) and left["not_found"] == 0
    assert left["centre_mm"] == pytest.approx({"mean": 2, "sd": math.sqrt(8 / 3), "median": 2}, abs=1e-4)
    missing = scores["squares"]["far left"]
    assert missing["not_found"] == 1 and missing["dice"] == pytest.approx(2 * 180 / 500)
    # the last square is partly outside: it has a Dice, but no distance
    last = scores["squares"]["far posterior"]
    assert math.isnan(last["centre_mm"]["mean"]) and last["not_found"] == 0 and last["dice"] == pytest.approx(0.9)
    assert scores["not_found"] == 1 and scores["centre_mm"]["mean"] == pytest.approx(46 / 23, abs=1e-4)
    # 900, 720 and 8 times 90 of the squares' 2700 pixels are correct
    assert scores["square_accuracy"] == pytest.approx((900 + 720 + 720) / 2700)
    wrong = 2 * 180 + (100 + 8 * 2 * 10)
    assert scores["accuracy"] == pytest.approx(1 - wrong / (3 * 64 * 64))
    assert found.columns["squares_found"] == [9, 9, 8]
    assert found.columns["centre_mm"] == pytest.approx([0, 4, 2], abs=1e-4)
    assert found.columns["squares_dice"] == pytest.approx([1, 0.8, 0.9 * 8 / 9])
    assert scores["trust"]["found"] == pytest.approx(8.02)
