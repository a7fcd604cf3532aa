"""Scores of restored images."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: The images that are compared with the target: the network's output, its input, and the mean of the visible pixels.
ANSWERS = ("restored", "unchanged", "mean")


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


def restoration_scores(hidden: NDArray[np.floating], kept: NDArray[np.floating]) -> dict[str, Any]:
    """Scores of restored images, and of two images that need no network, for comparison.

    Args:
        hidden, kept: mean squared errors of each image over its hidden pixels and over its other pixels, ``(N, 3)``, with
            a column for each of `ANSWERS`; NaN if an image has no such pixels.

    Returns:
        ``hidden`` and ``kept``: for each of `ANSWERS`, the mean over the images that have such pixels. ``hidden`` also has
        ``chance``, which is its ``mean``, and ``lower_is_better``, for `planewise.reports.main_score`. ``images`` is the
        number of images.
    """
    scores: dict[str, Any] = {}
    for name, errors in (("hidden", hidden), ("kept", kept)):
        known = errors[np.isfinite(errors).all(axis=1)]
        means = known.mean(axis=0) if len(known) else np.full(len(ANSWERS), np.nan)
        scores[name] = {answer: float(mean) for answer, mean in zip(ANSWERS, means, strict=True)}
    scores["hidden"] |= {"chance": scores["hidden"]["mean"], "lower_is_better": True}
    return scores | {"images": len(hidden)}
