"""Test ordinal grades, coded as thresholds that they exceed or not, against a loop."""

import math

import pytest
import torch
from planewise.losses import OrdinalLoss, cumulative_targets


def test_targets_by_hand():
    assert cumulative_targets(torch.tensor([0, 1, 2, 4]), 4).tolist() == [
        [0, 0, 0, 0],
        [1, 0, 0, 0],
        [1, 1, 0, 0],
        [1, 1, 1, 1],
    ]
    assert cumulative_targets(torch.tensor(3), 4).tolist() == [1, 1, 1, 0]


def test_against_the_equation():
    torch.manual_seed(0)
    logits, grades = torch.randn(6, 4, requires_grad=True), torch.tensor([0, 1, 2, 3, 4, 2])
    total = 0.0
    for row, grade in zip(logits.tolist(), grades.tolist(), strict=True):
        for k, x in enumerate(row):
            share = 1 / (1 + math.exp(-x))
            total -= math.log(share if grade > k else 1 - share)
    loss = OrdinalLoss()(logits, grades)
    assert float(loss) == pytest.approx(total / 24, rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert torch.allclose(gradient, (torch.sigmoid(logits) - cumulative_targets(grades, 4)) / 24, atol=1e-6)


def test_logits_of_half_precision_are_finite():
    loss = OrdinalLoss()(torch.tensor([[90.0, -90.0]]).to(torch.bfloat16), torch.tensor([0]))
    assert loss.dtype == torch.float32 and float(loss) == pytest.approx(45.0, rel=1e-2)
