"""Measure how well embeddings distinguish slices, and whether they have collapsed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize


def retrieval_accuracy(
    views: Tensor, counts: Sequence[int] = (1, 5), distance: Literal["cosine", "l2"] = "cosine"
) -> list[float]:
    """Retrieval: for each view of a slice, how often its other view is among the most similar of all slices' other views.

    Embeddings are compared by their cosine, after subtracting the mean of all: after a ReLU they all point into one
    corner of space, where every angle is small. For methods that learn the L2 distance, use that distance instead. Each
    of the two views searches for the other.

    Args:
        views: embeddings of two views of N slices, ``(N, 2, D)``.
        counts: sizes of the retrieved sets.
        distance: measure of similarity.

    Returns:
        A share for each of ``counts``; chance is ``count / N``. Of several equal similarities, half rank before the
        right one.
    """
    views = views.float()
    if distance == "cosine":
        first, second = normalize(views - views.mean(dim=(0, 1)), dim=2).unbind(dim=1)
        alike = first @ second.T
    else:
        # exact distances: the faster method by matrix products rounds small distances
        first, second = views.unbind(dim=1)
        alike = -torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist")
    ranks = []
    for scores in (alike, alike.T):
        own = scores.diagonal()[:, None]
        ranks.append((scores > own).sum(dim=1) + ((scores == own).sum(dim=1) - 1) / 2)
    rank = torch.cat(ranks)
    return [float((rank < count).double().mean()) for count in counts]


def embedding_spread(embeddings: Tensor) -> float:
    """Standard deviation of normalised embeddings ``(N, D)``, times the root of D: 1 if they are spread over the whole
    sphere, 0 if they have collapsed into one point."""
    rows = normalize(embeddings.double(), dim=1)
    return float(rows.std(dim=0, correction=0).mean() * rows.shape[1] ** 0.5)


def effective_rank(embeddings: Tensor) -> float:
    """Number of directions that embeddings ``(N, D)`` use (Roy and Vetterli 2007): the exponential of the entropy of
    their singular values, after subtracting the mean. D if all directions are used equally, 1 on a line, 0 if all are
    the same."""
    rows = embeddings.double()
    singular = torch.linalg.svdvals(rows - rows.mean(dim=0))
    total = float(singular.sum())
    # rounding errors of identical embeddings do not count as a direction
    if total <= 1e-9 * max(1.0, float(rows.abs().sum())):
        return 0.0
    share = singular / total
    return float(torch.exp(-torch.special.xlogy(share, share).sum()))
