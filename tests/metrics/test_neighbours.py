from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from planewise.metrics import embeddings as module
from planewise.metrics import mean_distance_of_others, nearest_neighbours


def test_the_neighbour_is_the_nearest_in_angle_and_of_another_group():
    # relative to the mean (0, 0), row 0 is nearest to row 1 of its own group, then to row 2, although that row is much longer
    features = torch.tensor([[1.0, 0.0], [1.0, 0.1], [5.0, 2.0], [-2.0, -1.1], [-5.0, -1.0]])
    groups = ["a", "a", "b", "b", "c"]
    assert nearest_neighbours(features, groups)[:, 0].tolist() == [2, 2, 1, 4, 3]
    assert nearest_neighbours(features, groups, 2)[0].tolist() == [2, 3]
    # a constant added to all rows does not change the neighbours
    assert nearest_neighbours(features + torch.tensor([100.0, -40.0]), groups)[:, 0].tolist() == [2, 2, 1, 4, 3]


def test_parts_of_the_rows_give_what_all_give(monkeypatch):
    features = torch.from_numpy(np.random.default_rng(0).normal(size=(23, 4)))
    groups = [number % 5 for number in range(23)]
    values = features[:, 0]
    whole = nearest_neighbours(features, groups, 3), mean_distance_of_others(values, groups)
    monkeypatch.setattr(module, "_ROWS", 4)
    assert torch.equal(nearest_neighbours(features, groups, 3), whole[0])
    pairs = [abs(float(a - b)) for a, p in zip(values, groups, strict=True)
             for b, q in zip(values, groups, strict=True) if p != q]  # fmt: skip
    assert mean_distance_of_others(values, groups) == pytest.approx(np.mean(pairs)) == pytest.approx(whole[1])


def test_who_is_alone_has_no_neighbour():
    assert math.isnan(mean_distance_of_others(torch.tensor([0.1, 0.4]), ["a", "a"]))
    with pytest.raises(ValueError, match="2 neighbours are requested"):
        nearest_neighbours(torch.zeros(3, 2), ["a", "a", "b"], 2)
