"""Measure how well embeddings distinguish slices, whether they have collapsed, what their nearest neighbours are, and what
can be predicted from the features of a frozen network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn.functional import normalize

from planewise.losses import negatives

#: Candidate strengths of the ridge regression on standardised features.
_ALPHAS = np.logspace(-2, 4, 13)


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
    group = _numbered(groups)
    if len(group) - int(torch.bincount(group).max()) < count:
        raise ValueError(
            f"{count} neighbours are requested, but some rows have fewer than {count} rows in other groups"
        )
    rows = normalize(features - features.mean(dim=0), dim=1)
    alike = (rows @ rows.T).masked_fill(group[:, None] == group, -torch.inf)
    return alike.topk(count, dim=1).indices


def _numbered(groups: Sequence[object]) -> Tensor:
    """The groups of all rows as numbers, ``(N,)``."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    return torch.tensor([numbers[name] for name in groups])


def mean_distance_of_others(values: Tensor, groups: Sequence[object]) -> float:
    """Mean of ``|a - b|`` over all pairs of values from different groups, which is the expectation for a random neighbour.

    Args:
        values: ``(N,)``.
        groups: N names.

    Returns:
        The mean; NaN if there is only one group.
    """
    group = _numbered(groups)
    return float((values[:, None] - values).abs().double()[group[:, None] != group].mean())


def ridge_probe() -> Pipeline:
    """The regression that all linear probes use: a ridge regression on standardised features, whose strength is chosen on the
    fitted rows."""
    return make_pipeline(StandardScaler(), RidgeCV(_ALPHAS))


def linear_probe(features: Tensor, targets: Tensor, queries: Tensor) -> Tensor:
    """Predict targets with a ridge regression on standardised features.

    The solution is exact, so the probe cannot be under-trained. Its strength is chosen by leave-one-out validation on the
    given rows, for each target separately.

    Args:
        features: ``(N, D)``, of the images with known targets.
        targets: ``(N, K)``, NaN where unknown.
        queries: ``(M, D)``, features of other images.

    Returns:
        Predicted targets, ``(M, K)``, float32. A target that is known in fewer than two rows, or has one value only, is
        predicted as its mean (NaN if it is unknown everywhere).
    """
    found = []
    for column in targets.double().numpy().T:
        known = np.isfinite(column)
        if known.sum() < 2 or np.ptp(column[known]) == 0:
            found.append(np.full(len(queries), column[known].mean() if known.any() else np.nan))
            continue
        ridge = ridge_probe()
        ridge.fit(features.double().numpy()[known], column[known])
        found.append(ridge.predict(queries.double().numpy()))
    return torch.from_numpy(np.stack(found, axis=1)).float()


def neighbour_probe(
    features: Tensor, targets: Tensor, queries: Tensor, neighbours: int = 20, temperature: float = 0.1
) -> Tensor:
    """Predict targets as the weighted mean over the nearest neighbours (Wu 2018, section 3.4).

    Rows are compared by the cosine of the angle between them, after subtracting the mean of ``features``, as in
    `nearest_neighbours`. A neighbour with cosine s has the weight ``exp(s / temperature)``.

    Args:
        features: ``(N, D)``, of the images with known targets.
        targets: ``(N, K)``, NaN where unknown; a neighbour with an unknown target does not count for this target.
        queries: ``(M, D)``, features of other images.
        neighbours: number of neighbours; at most N are used.
        temperature: smaller values give the nearest neighbour more weight; 0.1 is lightly's value.

    Returns:
        Predicted targets, ``(M, K)``, float32; NaN if no neighbour's target is known.
    """
    mean = features.mean(dim=0)
    cosines = normalize(queries - mean, dim=1) @ normalize(features - mean, dim=1).T
    nearest = cosines.topk(min(neighbours, len(features)), dim=1)
    weights = (nearest.values / temperature).exp()[:, :, None]
    answers = targets.float()[nearest.indices]
    known = answers.isfinite()
    return (weights * answers.nan_to_num()).sum(dim=1) / (weights * known).sum(dim=1)
