from __future__ import annotations

import math

import pytest
import torch
from planewise.losses import PatchLocationLoss


def test_it_is_the_papers_cross_entropy():
    torch.manual_seed(0)
    logits, place = torch.randn(7, 26), torch.randint(0, 26, (7,))
    total = 0.0
    for k in range(7):
        exponentials = [math.exp(float(value)) for value in logits[k]]
        total -= math.log(exponentials[int(place[k])] / sum(exponentials))
    loss = PatchLocationLoss()
    assert float(loss(logits, {"place": place})) == pytest.approx(total / 7, rel=1e-5)
    (term,) = loss.terms(logits, {"place": place})
    assert term.count == 7 and term.name is None


def test_no_idea_costs_the_logarithm_of_the_places():
    assert float(PatchLocationLoss()(torch.zeros(3, 8), {"place": torch.tensor([0, 5, 7])})) == pytest.approx(
        math.log(8)
    )
