"""Probes: predict the labels of images from the features of a frozen network, without training it."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn.functional import normalize

#: Candidate strengths of the ridge regression on standardised features.
_ALPHAS = np.logspace(-2, 4, 13)


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
