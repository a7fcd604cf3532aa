"""Scores of pretexts: how well embeddings distinguish slices and whether they have collapsed, whether a prediction identifies
its patch, restored images, and the order of slices, for single pairs and for a whole stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from planewise.losses import candidate_scores, negatives


def retrieval_accuracy(
    views: Tensor, counts: Sequence[int] = (1, 5), distance: Literal["cosine", "l2"] = "cosine"
) -> list[float]:
    """Retrieval accuracy: how often the two views of a slice are among each other's nearest neighbours.

    The first view of a slice is compared with the second views of all slices, and its second view with all first views.
    Embeddings are compared by their L2 distance, or by their cosine after the mean of all embeddings is subtracted: after
    a ReLU, all embeddings point into one corner of space, so all angles would be small.

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
    """Number of directions that embeddings ``(N, D)`` use (Roy and Vetterli 2007): the exponential of the entropy of their
    singular values, after their mean is subtracted. It is D if they use all directions equally, 1 if they are on a line,
    and 0 if all are the same."""
    rows = embeddings.double()
    singular = torch.linalg.svdvals(rows - rows.mean(dim=0))
    total = float(singular.sum())
    # the rounding errors of identical embeddings must not count as a direction
    if total <= 1e-9 * max(1.0, float(rows.abs().sum())):
        return 0.0
    share = singular / total
    return float(torch.exp(-torch.special.xlogy(share, share).sum()))


def triplet_accuracy(prediction: Tensor, target: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Compare the distances of each triplet (`planewise.losses.negatives`), for `ignite.metrics.Accuracy`: two tensors
    ``(B,)``, int64. The first is 1 if the transformed sample is nearer, ``D(z, z+) < D(z, z-)``, and otherwise 0; the second,
    the target, is always 1."""
    anchor, positive = prediction[:, 0], prediction[:, 1]
    near, far = (torch.linalg.vector_norm(anchor - other, dim=1) for other in (positive, negatives(prediction, target)))
    told = (near < far).long()
    return told, torch.ones_like(told)


def found_first(scores: Tensor, right: Tensor) -> Tensor:
    """1 if the right candidate, ``right`` ``(...)`` int64, has the highest of ``scores`` ``(..., N)``, otherwise 0:
    ``(...)``, float64. If several candidates share the highest score, each gets an equal share of 1, so a network with
    constant scores has the accuracy of guessing."""
    highest = scores == scores.amax(dim=-1, keepdim=True)
    return highest.gather(-1, right[..., None])[..., 0].double() / highest.sum(dim=-1)


def candidates_told(prediction: Tensor, target: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Prepare the input of `ignite.metrics.Accuracy`: the scores of the candidates, ``(B * Q, 1 + N)``, and the index of the
    right candidate, ``(B * Q,)``.

    The right candidate comes last, so that a tie counts as an error.
    """
    scores = candidate_scores(prediction, target).flip(1)
    return scores, torch.full((len(scores),), scores.shape[1] - 1, device=scores.device)


def restoration_errors(answer: Tensor, wanted: Tensor, where: Tensor) -> Tensor:
    """Mean squared error of each image over selected pixels; NaN if no pixel is selected.

    Args:
        answer, wanted: the image to score and the target, ``(B, C, ...)``; the image may be any tensor that broadcasts to
            the shape of the target.
        where: the pixels that count, ``(B, 1, ...)``, bool.

    Returns:
        ``(B,)``, float32.
    """
    where = where.expand_as(wanted)
    squares = (answer.float() - wanted.float()).square().expand_as(wanted)
    total = torch.where(where, squares, 0.0).flatten(1).sum(dim=1)
    return total / where.flatten(1).sum(dim=1)


def mean_of_seen(image: Tensor, hidden: Tensor) -> Tensor:
    """The mean of the visible pixels of each image, ``(B, 1, 1, ...)``; 0 if all pixels are hidden.

    Args:
        image: ``(B, C, ...)``.
        hidden: ``(B, 1, ...)``, bool.
    """
    seen = ~hidden.expand_as(image)
    mean = torch.where(seen, image, 0.0).flatten(1).sum(dim=1) / seen.flatten(1).sum(dim=1).clamp_min(1)
    return mean.reshape(-1, *[1] * (image.ndim - 1))


Array = NDArray[np.floating]

#: Two slices on opposite sides of the centre of their stack mirror each other if their distances from the centre differ by
#: at most this share of the stack's length, which is less than two slices in a stack of twelve.
MIRRORED = 0.1


def places_by_votes(logits: Array) -> Array:
    """Order the slices of a stack by the network's logits for all pairs.

    Each pair of slices votes for the slice that is nearer to the beginning, according to the difference between the logits
    of its two orders. The slice with the most votes comes first. If several slices have equally many votes, the slice
    with the larger sum of differences comes first.

    Args:
        logits: ``(k, k)``, positive if the row's slice is nearer to the beginning than the column's slice.

    Returns:
        Position of each slice, ``(k,)``, from 0 for the first to 1 for the last; 0 for a single slice.
    """
    margin = np.asarray(logits, dtype=np.float64) - np.asarray(logits, dtype=np.float64).T
    votes, strength = (margin > 0).sum(axis=1), margin.sum(axis=1)
    places = np.zeros(len(margin))
    places[np.lexsort((-strength, -votes))] = np.arange(len(margin)) / max(len(margin) - 1, 1)
    return places


def mirrored(first: Array, second: Array) -> NDArray[np.bool_]:
    """Whether the positions of each pair mirror each other about the centre, within `MIRRORED`."""
    one, other = first - 0.5, second - 0.5
    # with the tolerance, values exactly at the bound are included despite rounding
    return (one * other < 0) & (np.abs(one + other) <= MIRRORED + 1e-9)
