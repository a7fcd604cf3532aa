from __future__ import annotations

import math

import pytest
import torch
from planewise.losses import RotationLoss


def test_it_is_the_papers_cross_entropy():
    torch.manual_seed(0)
    logits, turn = torch.randn(7, 10), torch.randint(0, 10, (7,))
    total = 0.0
    for k in range(7):
        exponentials = [math.exp(float(value)) for value in logits[k]]
        total -= math.log(exponentials[int(turn[k])] / sum(exponentials))
    loss = RotationLoss()
    assert float(loss(logits, {"turn": turn})) == pytest.approx(total / 7, rel=1e-5)
    (term,) = loss.terms(logits, {"turn": turn})
    assert term.count == 7 and term.name is None


def test_no_idea_costs_the_logarithm_of_the_classes():
    assert float(RotationLoss()(torch.zeros(3, 10), {"turn": torch.tensor([0, 5, 9])})) == pytest.approx(math.log(10))
