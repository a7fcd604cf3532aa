from __future__ import annotations

import pytest
import torch
from planewise.losses import SegmentationLoss, logged_terms
from torch import nn


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ConvTranspose2d(3, 4, 3))


def test_cross_entropy_and_l1_on_the_convolutions_weights():
    network = net()
    logits, label = torch.randn(2, 4, 5, 5), torch.randint(0, 4, (2, 1, 5, 5)).float()
    entropy = 0.0
    for n in range(2):
        for i in range(5):
            for j in range(5):
                value = logits[n, :, i, j]
                entropy -= float(torch.log(torch.exp(value)[int(label[n, 0, i, j])] / torch.exp(value).sum())) / 50
    penalty = 0.01 * float(network[0].weight.abs().sum() + network[2].weight.abs().sum())
    loss = SegmentationLoss(network, l1=0.01)
    assert float(loss(logits, label)) == pytest.approx(entropy + penalty, rel=1e-5)
    assert {name: float(part) for name, part in logged_terms(loss).items()} == pytest.approx(
        {"cross_entropy": entropy, "l1": penalty}, rel=1e-5
    )


def test_validation_has_no_penalty():
    logits, label = torch.randn(2, 4, 5, 5), torch.zeros(2, 1, 5, 5)
    with torch.no_grad():
        validation = SegmentationLoss(net(), l1=0.01)(logits, label)
    assert float(validation) == pytest.approx(float(SegmentationLoss(net(), l1=0)(logits, label)))


def test_the_network_is_not_part_of_the_loss():
    assert list(SegmentationLoss(net()).parameters()) == []


def test_frozen_weights_are_not_penalised():
    network = net()
    network[0].requires_grad_(False)
    loss = SegmentationLoss(network, l1=1)
    loss(torch.randn(2, 4, 5, 5), torch.zeros(2, 1, 5, 5))
    assert float(logged_terms(loss)["l1"]) == pytest.approx(float(network[2].weight.abs().sum()))
