from __future__ import annotations

import math

import pytest
import torch
from planewise.losses import JigsawLoss


def test_the_equation():
    logits, permutation = torch.randn(4, 6, dtype=torch.float64), torch.tensor([5, 0, 2, 2])
    total = 0.0
    for row, label in zip(logits.tolist(), permutation.tolist(), strict=True):
        total -= math.log(math.exp(row[label]) / sum(map(math.exp, row)))
    assert float(JigsawLoss()(logits, {"permutation": permutation})) == pytest.approx(total / 4)
    (term,) = JigsawLoss().terms(logits, {"permutation": permutation})
    assert term.count == 4
