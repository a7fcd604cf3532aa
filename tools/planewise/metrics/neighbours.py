"""Find the nearest neighbours of an image among the images of other exams."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

#: Number of rows that are compared with all others at a time.
_ROWS = 1024


def nearest_neighbours(features: Tensor, groups: Sequence[object], count: int = 1) -> Tensor:
    """Find the most similar rows of other groups.

    Rows are compared by the cosine of the angle between them, after the mean of all rows is subtracted. Without this
    subtraction, all angles would be small, because after a ReLU all features point into one corner of space.

    Args:
        features: ``(N, D)``.
        groups: N names, such as exams. A row's own group is left out, because its images are always similar.
        count: number of neighbours of each row.

    Returns:
        Indices ``(N, count)``, with the nearest neighbour first.

    Raises:
        ValueError: for some row, the other groups have fewer than ``count`` rows.
    """
    names = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    group = torch.tensor([names[name] for name in groups])
    if len(group) - int(torch.bincount(group).max()) < count:
        raise ValueError(
            f"{count} neighbours are requested, but some rows have fewer than {count} rows in other groups"
        )
    rows = normalize(features - features.mean(dim=0), dim=1)
    found = []
    for part in range(0, len(rows), _ROWS):
        alike = rows[part : part + _ROWS] @ rows.T
        alike[group[part : part + _ROWS, None] == group] = -torch.inf
        found.append(alike.topk(count, dim=1).indices)
    return torch.cat(found)


def mean_distance_of_others(values: Tensor, groups: Sequence[object]) -> float:
    """Mean of ``|a - b|`` over all pairs of values from different groups, which is the expectation for a random neighbour.

    Args:
        values: ``(N,)``.
        groups: N names.

    Returns:
        The mean; NaN if there is only one group.
    """
    names = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    group = torch.tensor([names[name] for name in groups])
    total, pairs = 0.0, 0
    for part in range(0, len(values), _ROWS):
        other = group[part : part + _ROWS, None] != group
        distance = (values[part : part + _ROWS, None] - values).abs()
        total += float(distance[other].double().sum())
        pairs += int(other.sum())
    return total / pairs if pairs else float("nan")
