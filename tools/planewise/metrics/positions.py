"""Compute the agreement of predicted and true classes of pixels, square by square."""

from __future__ import annotations

import torch
from torch import Tensor


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
