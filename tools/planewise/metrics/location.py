"""Scores of relative location (the columns of Zhang 2024 Table 2), of lines and of anatomical positions, also as Ignite
metrics for validation during training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from scipy.stats import linregress
from sklearn.metrics import explained_variance_score, mean_absolute_error, mean_squared_error, r2_score
from torch import Tensor

from planewise.geometry import find_squares, fit_lines, line_errors
from planewise.losses import predicted_location
from planewise.metrics.epoch_metrics import KeptMetric, pred_and_label

#: scikit-learn's scores of locations.
_SCORES = {
    "mse": mean_squared_error,
    "mae": mean_absolute_error,
    "r2": r2_score,
    "explained_variance": explained_variance_score,
}


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
        names = ("pearson_r", *_SCORES, "slope", "intercept")
        return {**dict.fromkeys(names, float("nan")), "slices": len(reference)}
    line = linregress(reference, predicted)
    scores = {name: float(score(reference, predicted)) for name, score in _SCORES.items()}
    ends = {"slope": float(line.slope), "intercept": float(line.intercept), "slices": len(reference)}
    return {"pearson_r": float(line.rvalue)} | scores | ends


class LocationErrors(KeptMetric):
    """Mean absolute error, Pearson r and R^2 of the predicted locations: ``location_mae``, ``location_r``, ``location_r2``.

    Updates take ``(prediction, target)``: the network's output, whose last channel is the location, and a dictionary with
    ``location`` ``(B,)``.

    Args:
        output_transform: extracts (prediction, target) from the engine's output.
    """

    def kept(self, prediction: Tensor, target: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return predicted_location(prediction), target["location"]

    def scores(self, predicted: Tensor, reference: Tensor) -> dict[str, float]:
        scores = location_scores(predicted.tolist(), reference.tolist())
        return {"location_mae": scores["mae"], "location_r": scores["pearson_r"], "location_r2": scores["r2"]}


class LineErrors(KeptMetric):
    """Mean angle (degrees) and distance (mm) between the predicted lines and the true lines of each view,
    ``<view>_angle`` and ``<view>_distance``. A line that was not found counts as an angle of 90 degrees, and is left
    out of the distance.

    Updates take ``(prediction, target)``: the network's output ``(B, C, i, j)``, and a dictionary with ``lines``
    ``(B, views, 3)`` and ``affine`` ``(B, 4, 4)``.

    Args:
        views: names of the heatmap channels.
        output_transform: extracts (prediction, target) from the engine's output.
    """

    def __init__(self, views: Sequence[str], output_transform: Callable[[Any], Any] = pred_and_label) -> None:
        self.views = tuple(views)
        super().__init__(output_transform)

    def kept(self, prediction: Tensor, target: dict[str, Tensor]) -> tuple[Tensor, ...]:
        heatmaps = prediction[:, : len(self.views)]
        shape = (heatmaps.shape[-2], heatmaps.shape[-1])
        lines = fit_lines(heatmaps)[0]
        angle, distance = line_errors(lines, target["lines"], target["affine"][:, None], shape)
        known = torch.isfinite(target["lines"]).all(dim=-1)
        return torch.where(known & ~torch.isfinite(angle), math.pi / 2, angle), distance

    def scores(self, angles: Tensor, distances: Tensor) -> dict[str, float]:
        scores = {}
        for channel, view in enumerate(self.views):
            scores[f"{view}_angle"] = math.degrees(float(angles[:, channel].nanmean()))
            scores[f"{view}_distance"] = float(distances[:, channel].nanmean())
        return scores


def position_counts(prediction: Tensor, squares: Tensor) -> Tensor:
    """Count the pixels of each class, for scores over many slices: ``(B, classes, 3)``, int64, where it is both predicted and
    true, where it is predicted, and where it is true. All are zero for an unknown slice.

    Args:
        prediction: logits or probabilities, shape ``(B, classes, H, W)``.
        squares: true classes, shape ``(B, H, W)``; 0 is the background, and a slice is unknown if all its values are -1.
    """
    predicted = prediction.argmax(dim=1)
    known = squares >= 0
    number = torch.arange(prediction.shape[1], device=squares.device)[None, :, None, None]
    found, true = (predicted[:, None] == number) & known[:, None], squares[:, None] == number
    return torch.stack([(found & true).sum(dim=(2, 3)), found.sum(dim=(2, 3)), true.sum(dim=(2, 3))], dim=-1)


def position_dice(counts: Tensor) -> Tensor:
    """Dice of each class over all slices together, ``2 |P & T| / (|P| + |T|)``, ``(classes,)``, float64, from the counts of
    `position_counts`; NaN for a class that is neither predicted nor true anywhere."""
    both, found, true = counts.sum(dim=0).double().unbind(dim=-1)
    return 2 * both / (found + true)


class PositionErrors(KeptMetric):
    """Scores of nine anatomical positions.

    - ``squares_dice``: the mean Dice of the nine squares;
    - ``squares_found``: the share of squares that are found, of those that are completely inside their image;
    - ``squares_distance``: the mean distance (mm) of their centres from the true centres.

    Updates take ``(prediction, target)``: logits ``(B, 10, i, j)``, and a dictionary with ``squares`` ``(B, i, j)``,
    ``square_centres`` ``(B, 9, 3)``, ``square_inside`` ``(B, 9)`` and ``affine`` ``(B, 4, 4)``.

    Args:
        size: side of a square, mm.
        output_transform: extracts (prediction, target) from the engine's output.
    """

    def __init__(self, size: float, output_transform: Callable[[Any], Any] = pred_and_label) -> None:
        self.size = float(size)
        super().__init__(output_transform)

    def kept(self, prediction: Tensor, target: dict[str, Tensor]) -> tuple[Tensor, ...]:
        prediction = prediction.float()
        centres = find_squares(prediction.softmax(dim=1), target["affine"], self.size)
        distances = (centres - target["square_centres"]).norm(dim=-1)
        return position_counts(prediction, target["squares"]), distances, target["square_inside"]

    def scores(self, counts: Tensor, distances: Tensor, inside: Tensor) -> dict[str, float]:
        of_inside = distances[inside]
        return {
            "squares_dice": float(position_dice(counts)[1:].nanmean()),
            "squares_found": float(torch.isfinite(of_inside).double().mean()),
            "squares_distance": float(of_inside.nanmean()),
        }
