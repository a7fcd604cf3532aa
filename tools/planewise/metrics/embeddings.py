"""How good embeddings are at telling slices apart, and whether they have collapsed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize


def retrieval_accuracy(
    views: Tensor, counts: Sequence[int] = (1, 5), distance: Literal["cosine", "l2"] = "cosine"
) -> list[float]:
    """How often the other view of a slice is among the most alike, of the other views of all slices.

    Embeddings are compared by the cosine, after the mean of all is taken off: behind a ReLU they point into one corner of
    space, where every angle is small. Or by their L2 distance, for methods that learn it. Each of the two views searches for
    the other.

    Args:
        views: embeddings of two views of N slices, ``(N, 2, D)``.
        counts: how many of the most alike count.
        distance: what makes embeddings alike.

    Returns:
        A share for each of ``counts``; by chance it is ``count / N``. Equally alike slices count half each way.
    """
    views = views.float()
    if distance == "cosine":
        first, second = normalize(views - views.mean(dim=(0, 1)), dim=2).unbind(dim=1)
        alike = first @ second.T
    else:
        # exact: the quick way by products rounds small distances
        first, second = views.unbind(dim=1)
        alike = -torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist")
    ranks = []
    for scores in (alike, alike.T):
        own = scores.diagonal()[:, None]
        ranks.append((scores > own).sum(dim=1) + ((scores == own).sum(dim=1) - 1) / 2)
    rank = torch.cat(ranks)
    return [float((rank < count).double().mean()) for count in counts]


def embedding_spread(embeddings: Tensor) -> float:
    """Standard deviation of normalised embeddings ``(N, D)``, times the root of D: 1 if they lie all over the sphere, 0 if
    they have collapsed into one point."""
    rows = normalize(embeddings.double(), dim=1)
    return float(rows.std(dim=0, correction=0).mean() * rows.shape[1] ** 0.5)


def effective_rank(embeddings: Tensor) -> float:
    """How many directions embeddings ``(N, D)`` use (Roy and Vetterli 2007): the exponential of the entropy of their singular
    values, after the mean is taken off. D if all directions are used alike, 1 on a line, 0 if all are the same."""
    rows = embeddings.double()
    singular = torch.linalg.svdvals(rows - rows.mean(dim=0))
    total = float(singular.sum())
    # what rounding leaves of embeddings that are all the same is no direction
    if total <= 1e-9 * max(1.0, float(rows.abs().sum())):
        return 0.0
    share = singular / total
    return float(torch.exp(-torch.special.xlogy(share, share).sum()))
