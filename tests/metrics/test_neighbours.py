from __future__ import annotations

import math

import pytest
import torch
from planewise.metrics import mean_distance_of_others, nearest_neighbours


def test_the_neighbour_is_the_nearest_in_angle_and_of_another_group():
    # relative to the mean (0, 0), row 0 is nearest to row 1 of its own group, then to row 2, although that row is much longer
    features = torch.tensor([[1.0, 0.0], [1.0, 0.1], [5.0, 2.0], [-2.0, -1.1], [-5.0, -1.0]])
    groups = ["a", "a", "b", "b", "c"]
    assert nearest_neighbours(features, groups)[:, 0].tolist() == [2, 2, 1, 4, 3]
    assert nearest_neighbours(features, groups, 2)[0].tolist() == [2, 3]
    # a constant added to all rows does not change the neighbours
    assert nearest_neighbours(features + torch.tensor([100.0, -40.0]), groups)[:, 0].tolist() == [2, 2, 1, 4, 3]


def test_who_is_alone_has_no_neighbour():
    assert math.isnan(mean_distance_of_others(torch.tensor([0.1, 0.4]), ["a", "a"]))
    with pytest.raises(ValueError, match="2 neighbours are requested"):
        nearest_neighbours(torch.zeros(3, 2), ["a", "a", "b"], 2)
