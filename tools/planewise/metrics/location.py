"""Scores of relative location, the columns of Zhang 2024 Table 2."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import linregress
from sklearn.metrics import explained_variance_score, mean_absolute_error, mean_squared_error, r2_score


def location_scores(predicted: Sequence[float], reference: Sequence[float]) -> dict[str, float]:
    """MSE, MAE, Pearson r, R^2 and explained variance, and the regression line of Fig. 6.

    Args:
        predicted, reference: one value per slice; pairs with a NaN are left out.

    Returns:
        ``mse, mae, pearson_r, r2, explained_variance, slope, intercept, slices``. The scores are NaN if there are fewer
        than two slices, or if all true locations are the same.
    """
    pairs = np.array([predicted, reference], dtype=np.float64)
    predicted, reference = pairs[:, np.isfinite(pairs).all(axis=0)]
    if len(reference) < 2 or np.ptp(reference) == 0:
        names = ("mse", "mae", "pearson_r", "r2", "explained_variance", "slope", "intercept")
        return {**dict.fromkeys(names, float("nan")), "slices": len(reference)}
    line = linregress(reference, predicted)
    return {
        "mse": float(mean_squared_error(reference, predicted)),
        "mae": float(mean_absolute_error(reference, predicted)),
        "pearson_r": float(line.rvalue),
        "r2": float(r2_score(reference, predicted)),
        "explained_variance": float(explained_variance_score(reference, predicted)),
        "slope": float(line.slope),
        "intercept": float(line.intercept),
        "slices": len(reference),
    }
