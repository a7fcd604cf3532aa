from __future__ import annotations

import math

import pytest
import torch
from planewise.metrics import EpochScore, macro_auc


def test_macro_auc_of_an_epoch_known_by_hand():
    metric = EpochScore(macro_auc)
    # two classes: with either as the positive one, three of four pairs are in the right order
    logits = torch.tensor([[2.0, 0.0], [0.5, 0.0], [1.0, 0.0], [0.0, 1.0], [9.0, 0.0]])
    labels = torch.tensor([0, 0, 1, 1, -1])
    metric.update((logits[:2], labels[:2]))
    metric.update((logits[2:], labels[2:]))
    assert metric.compute() == pytest.approx(0.75)


def test_one_class_alone_has_none():
    metric = EpochScore(macro_auc)
    metric.update((torch.randn(3, 2), torch.tensor([1, 1, -1])))
    assert math.isnan(metric.compute())
