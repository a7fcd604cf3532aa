from __future__ import annotations

import math

import pytest
import torch
from planewise.metrics import effective_rank, embedding_spread, retrieval_accuracy, triplet_accuracy


def test_a_view_is_retrieved_when_its_partner_is_the_most_alike():
    # the mean of all six is zero
    first = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    second = torch.tensor([[2.0, 0.1], [-1.0, -0.9], [-1.0, -0.2]])
    # cosines between the first views of samples 0, 1, 2 and the second views of 0, 1, 2: (1.0 -.74 -.98) (.05 -.67 -.2) (-1.0
    # .74 .98)
    for shift in (0.0, 30.0):
        top = retrieval_accuracy(torch.stack([first, second], dim=1) + shift, (1, 2, 3))
        # the ranks of the partners are first, third and first for the first views, and second, first and second for the
        # second views
        assert top == pytest.approx([4 / 6, 5 / 6, 1.0])


def test_what_has_collapsed_retrieves_by_chance_alone():
    views = torch.ones(40, 2, 8)
    # all are equally similar, so the rank is the middle one, 19.5
    assert retrieval_accuracy(views, (1, 19, 20)) == [0, 0, 1]
    assert embedding_spread(views[:, 0]) == pytest.approx(0, abs=1e-9) and effective_rank(views[:, 0]) == 0


def test_spread_and_rank_of_known_clouds():
    corners = torch.cat([torch.eye(6), -torch.eye(6)])
    assert embedding_spread(corners) == pytest.approx(1) and effective_rank(corners) == pytest.approx(6)
    line = torch.linspace(-1, 1, 9)[:, None] * torch.tensor([[3.0, 0.0, 4.0]]) + 5
    assert effective_rank(line) == pytest.approx(1)
    # singular values 3 and 1
    cross = torch.tensor([[3.0, 0], [-3.0, 0], [0, 1.0], [0, -1.0]])
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert effective_rank(cross) == pytest.approx(math.exp(entropy))


def test_by_their_distance_the_nearest_is_found_whatever_its_angle():
    """The second sample has the same direction as the first, but another length."""
    views = torch.tensor([[[1.0, 0], [1, 0.1]], [[2, 0], [2, 0.1]], [[-3, 0], [-3, -0.2]]])
    expected = []
    for one, other in ((0, 1), (1, 0)):
        for sample in range(3):
            distances = [float((views[sample, one] - views[row, other]).norm()) for row in range(3)]
            expected.append(distances.index(min(distances)) == sample)
    assert all(expected) and retrieval_accuracy(views, (1,), "l2") == [1.0]
    assert retrieval_accuracy(views, (1,))[0] < 1.0


def test_a_triplet_is_told_where_the_transformed_sample_lies_nearer():
    views = torch.tensor([[[0.0, 0], [0, 1], [0, 2]], [[0, 0], [0, 2], [0, 1]], [[0, 0], [0, 1], [1, 0]]])
    told, wanted = triplet_accuracy(views, {})
    assert told.tolist() == [1, 0, 0] and wanted.tolist() == [1, 1, 1], "equal distances do not count as nearer"
