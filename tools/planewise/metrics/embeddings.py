"""Measure how well embeddings distinguish slices, and whether they have collapsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from planewise.losses import negatives


def retrieval_accuracy(
    views: Tensor, counts: Sequence[int] = (1, 5), distance: Literal["cosine", "l2"] = "cosine"
) -> list[float]:
    """Retrieval accuracy: how often the two views of a slice are among each other's nearest neighbours.

    The first view of a slice is compared with the second views of all slices, and its second view with all first views.
    Embeddings are compared by their cosine, after the mean of all embeddings is subtracted. Without this subtraction, all
    angles would be small, because after a ReLU all embeddings point into one corner of space. For methods that learn the L2
    distance, choose this distance instead.

    Args:
        views: embeddings of two views of N slices, ``(N, 2, D)``.
        counts: numbers of nearest neighbours to consider.
        distance: measure of similarity.

    Returns:
        An accuracy for each of ``counts``; chance is ``count / N``. If other views are exactly as similar as the right
        one, half of them rank before it.
    """
    views = views.float()
    if distance == "cosine":
        first, second = normalize(views - views.mean(dim=(0, 1)), dim=2).unbind(dim=1)
        alike = first @ second.T
    else:
        # exact distances, because the faster method with matrix products is inaccurate for small distances
        first, second = views.unbind(dim=1)
        alike = -torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist")
    ranks = []
    for scores in (alike, alike.T):
        own = scores.diagonal()[:, None]
        ranks.append((scores > own).sum(dim=1) + ((scores == own).sum(dim=1) - 1) / 2)
    rank = torch.cat(ranks)
    return [float((rank < count).double().mean()) for count in counts]


def embedding_spread(embeddings: Tensor) -> float:
    """Standard deviation of normalised embeddings ``(N, D)``, times the square root of D. It is 1 if they are spread over
    the whole sphere, and 0 if they have collapsed into one point."""
    rows = normalize(embeddings.double(), dim=1)
    return float(rows.std(dim=0, correction=0).mean() * rows.shape[1] ** 0.5)


def effective_rank(embeddings: Tensor) -> float:
    """Number of directions that embeddings ``(N, D)`` use (Roy and Vetterli 2007).

    It is the exponential of the entropy of their singular values, after their mean is subtracted: D if they use all
    directions equally, 1 if they are on a line, and 0 if all are the same.
    """
    rows = embeddings.double()
    singular = torch.linalg.svdvals(rows - rows.mean(dim=0))
    total = float(singular.sum())
    # the rounding errors of identical embeddings must not count as a direction
    if total <= 1e-9 * max(1.0, float(rows.abs().sum())):
        return 0.0
    share = singular / total
    return float(torch.exp(-torch.special.xlogy(share, share).sum()))


def triplet_accuracy(prediction: Tensor, target: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Compare the distances of each triplet, for `ignite.metrics.Accuracy`.

    Args:
        prediction, target: see `planewise.losses.negatives`.

    Returns:
        Two tensors ``(B,)``, int64. The first is 1 if the transformed sample is nearer, ``D(z, z+) < D(z, z-)``, and
        otherwise 0; the second, the target, is always 1.
    """
    anchor, positive = prediction[:, 0], prediction[:, 1]
    near, far = (torch.linalg.vector_norm(anchor - other, dim=1) for other in (positive, negatives(prediction, target)))
    told = (near < far).long()
    return told, torch.ones_like(told)
