from __future__ import annotations

import torch
from planewise.metrics import triplet_accuracy


def test_a_triplet_is_told_where_the_transformed_sample_lies_nearer():
    views = torch.tensor([[[0.0, 0], [0, 1], [0, 2]], [[0, 0], [0, 2], [0, 1]], [[0, 0], [0, 1], [1, 0]]])
    told, wanted = triplet_accuracy(views, {})
    assert told.tolist() == [1, 0, 0] and wanted.tolist() == [1, 1, 1], "equal distances do not count as nearer"
