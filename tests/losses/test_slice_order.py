"""Test the loss of slice ordering against its equation."""

from __future__ import annotations

import math

import pytest
import torch
from planewise.losses import SliceOrderLoss


def test_the_equation():
    logits, nearer = torch.randn(7, 1, dtype=torch.float64), torch.tensor([1, 0, 0, 1, 1, 0, 1], dtype=torch.float64)
    total = 0.0
    for logit, label in zip(logits[:, 0].tolist(), nearer.tolist(), strict=True):
        probability = 1 / (1 + math.exp(-logit))
        total -= label * math.log(probability) + (1 - label) * math.log(1 - probability)
    assert float(SliceOrderLoss()(logits, {"first_is_nearer": nearer})) == pytest.approx(total / 7)
    (term,) = SliceOrderLoss().terms(logits, {"first_is_nearer": nearer})
    assert term.count == 7


def test_knowing_nothing_costs_a_bit():
    loss = SliceOrderLoss()(torch.zeros(4, 1), {"first_is_nearer": torch.tensor([0.0, 1, 1, 0])})
    assert float(loss) == pytest.approx(math.log(2))
