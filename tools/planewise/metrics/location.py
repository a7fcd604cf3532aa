"""Scores of relative location, the columns of Zhang 2024 Table 2, also as an Ignite metric for validation during training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import linregress
from sklearn.metrics import explained_variance_score, mean_absolute_error, mean_squared_error, r2_score
from torch import Tensor

from planewise.losses import predicted_location
from planewise.metrics.epoch_metrics import KeptMetric


def location_scores(predicted: Sequence[float], reference: Sequence[float]) -> dict[str, float]:
    """MSE, MAE, Pearson r, R^2 and explained variance, and the regression line of Fig. 6.

    Args:
        predicted, reference: one value per slice; pairs with a NaN are left out.

    Returns:
        ``pearson_r, mse, mae, r2, explained_variance, slope, intercept, slices``. The scores are NaN if there are fewer
        than two slices, or if all true locations are the same.
    """
    pairs = np.array([predicted, reference], dtype=np.float64)
    predicted, reference = pairs[:, np.isfinite(pairs).all(axis=0)]
    if len(reference) < 2 or np.ptp(reference) == 0:
        names = ("pearson_r", "mse", "mae", "r2", "explained_variance", "slope", "intercept")
        return {**dict.fromkeys(names, float("nan")), "slices": len(reference)}
    line = linregress(reference, predicted)
    return {
        "pearson_r": float(line.rvalue),
        "mse": float(mean_squared_error(reference, predicted)),
        "mae": float(mean_absolute_error(reference, predicted)),
        "r2": float(r2_score(reference, predicted)),
        "explained_variance": float(explained_variance_score(reference, predicted)),
        "slope": float(line.slope),
        "intercept": float(line.intercept),
        "slices": len(reference),
    }


class LocationErrors(KeptMetric):
    """Mean absolute error, Pearson r and R^2 of the predicted locations.

    Updates take ``(prediction, target)``: the network's output, whose last channel is the location, and a dictionary with
    ``location`` ``(B,)``. The result is ``{"location_mae": ..., "location_r": ..., "location_r2": ...}``; Ignite lists
    each value under its own name. With several processes, each gets the scores over the slices of all processes.

    Args:
        output_transform: extracts (prediction, target) from the engine's output.
    """

    def kept(self, prediction: Tensor, target: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return predicted_location(prediction), target["location"]

    def scores(self, predicted: Tensor, reference: Tensor) -> dict[str, float]:
        scores = location_scores(predicted.tolist(), reference.tolist())
        return {"location_mae": scores["mae"], "location_r": scores["pearson_r"], "location_r2": scores["r2"]}
