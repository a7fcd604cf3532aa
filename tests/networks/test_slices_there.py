"""Test that a network runs only on the slices that exist and puts their features in the slices' places."""

from __future__ import annotations

import torch
from planewise.networks.stack_classifier import at_their_slices

THERE = torch.tensor([True, False, True])


def test_of_the_slices_that_are_there_alone():
    spread = at_their_slices(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), THERE, -1.0)
    assert spread.tolist() == [[1.0, 2.0], [-1.0, -1.0], [3.0, 4.0]]


def test_of_all_slices():
    features = torch.tensor([[1.0], [2.0], [3.0]])
    assert at_their_slices(features, THERE, -float("inf")).tolist() == [[1.0], [-float("inf")], [3.0]]
    assert at_their_slices(features, torch.ones(3, dtype=torch.bool), 0.0).tolist() == features.tolist()


def test_gradients_reach_the_slices_that_are_there_alone():
    features = torch.ones(2, 1, requires_grad=True)
    (2 * at_their_slices(features, THERE, 5.0)).sum().backward()
    assert features.grad.tolist() == [[2.0], [2.0]]
