"""Compute the agreement of predicted and true anatomical positions, also as an Ignite metric for validation in training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from planewise.geometry import find_squares
from planewise.metrics.epoch_metrics import KeptMetric, pred_and_label


def position_counts(prediction: Tensor, squares: Tensor) -> Tensor:
    """Count the pixels of each class, for scores over many slices.

    Args:
        prediction: logits or probabilities, shape ``(B, classes, H, W)``.
        squares: true classes, shape ``(B, H, W)``; 0 is the background, and a slice is unknown if all its values are -1.

    Returns:
        ``(B, classes, 3)``, int64: for each class, the number of pixels where it is both predicted and true, where it is
        predicted, and where it is true. All are zero for an unknown slice.
    """
    predicted = prediction.argmax(dim=1)
    known = squares >= 0
    number = torch.arange(prediction.shape[1], device=squares.device)[None, :, None, None]
    found, true = (predicted[:, None] == number) & known[:, None], squares[:, None] == number
    return torch.stack([(found & true).sum(dim=(2, 3)), found.sum(dim=(2, 3)), true.sum(dim=(2, 3))], dim=-1)


def position_dice(counts: Tensor) -> Tensor:
    """Dice of each class over all slices together, ``2 |P & T| / (|P| + |T|)``.

    Args:
        counts: from `position_counts`, shape ``(N, classes, 3)``.

    Returns:
        ``(classes,)``, float64; NaN for a class that is neither predicted nor true anywhere.
    """
    both, found, true = counts.sum(dim=0).double().unbind(dim=-1)
    return 2 * both / (found + true)


class PositionErrors(KeptMetric):
    """Scores of nine anatomical positions.

    - ``squares_dice``: the mean Dice of the nine squares;
    - ``squares_found``: the share of squares that are found, of those that are completely inside their image;
    - ``squares_distance``: the mean distance (mm) of their centres from the true centres.

    Updates take ``(prediction, target)``: logits ``(B, 10, i, j)``, and a dictionary with ``squares`` ``(B, i, j)``,
    ``square_centres`` ``(B, 9, 3)``, ``square_inside`` ``(B, 9)`` and ``affine`` ``(B, 4, 4)``. Ignite lists each value
    under its own name. With several processes, each gets the scores over the slices of all processes.

    Args:
        size: side of a square, mm.
        output_transform: extracts (prediction, target) from the engine's output.
    """

    def __init__(self, size: float, output_transform: Callable[[Any], Any] = pred_and_label) -> None:
        self.size = float(size)
        super().__init__(output_transform)

    def kept(self, prediction: Tensor, target: dict[str, Tensor]) -> tuple[Tensor, ...]:
        prediction = prediction.float()
        found = find_squares(prediction.softmax(dim=1), target["affine"], self.size)
        distances = (found.centres - target["square_centres"]).norm(dim=-1)
        return position_counts(prediction, target["squares"]), distances, target["square_inside"]

    def scores(self, counts: Tensor, distances: Tensor, inside: Tensor) -> dict[str, float]:
        of_inside = distances[inside]
        return {
            "squares_dice": float(position_dice(counts)[1:].nanmean()),
            "squares_found": float(torch.isfinite(of_inside).double().mean()),
            "squares_distance": float(of_inside.nanmean()),
        }
