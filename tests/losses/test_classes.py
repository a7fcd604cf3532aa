from __future__ import annotations

import math

import pytest
import torch
from planewise.losses import ClassLoss


def test_cross_entropy_of_the_known_exams_against_a_loop():
    logits, labels = torch.randn(6, 4), torch.tensor([0, 3, -1, 2, -1, 3])
    total, known = 0.0, 0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        if label >= 0:
            total -= row[label] - math.log(sum(map(math.exp, row)))
            known += 1
    assert float(ClassLoss()(logits, labels)) == pytest.approx(total / known, rel=1e-5)
    assert float(ClassLoss()(logits[2:3], labels[2:3])) == 0
