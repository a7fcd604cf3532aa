"""Scores of contrastive predictive coding (how often a prediction identifies its patch) and of restored images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from planewise.losses import candidate_scores

#: The images that are compared with the target: the network's output, its input, and the mean of the visible pixels.
ANSWERS = ("restored", "unchanged", "mean")


def found_first(scores: Tensor, right: Tensor) -> Tensor:
    """1 if the right candidate has the highest score, otherwise 0.

    If several candidates share the highest score, each gets an equal share of 1. A network with constant scores therefore
    has the accuracy of guessing.

    Args:
        scores: ``(..., N)``.
        right: index of the right candidate, ``(...)`` int64.

    Returns:
        ``(...)``, float64.
    """
    highest = scores == scores.amax(dim=-1, keepdim=True)
    return highest.gather(-1, right[..., None])[..., 0].double() / highest.sum(dim=-1)


def candidates_told(prediction: Tensor, target: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Prepare the input of `ignite.metrics.Accuracy`: the scores of the candidates, ``(B * Q, 1 + N)``, and the index of the
    right candidate, ``(B * Q,)``.

    The right candidate comes last, so that a tie counts as an error.
    """
    scores = candidate_scores(prediction, target).flip(1)
    return scores, torch.full((len(scores),), scores.shape[1] - 1, device=scores.device)


def patch_scores(found: Tensor, found_of_all: Tensor, ahead: Tensor, candidates: int, patches: int) -> dict[str, Any]:
    """Compute how often predictions identify their patches.

    Args:
        found: whether each prediction identifies its patch among its candidates, ``(N, Q)``, from `found_first`.
        found_of_all: the same, among all patches of the image.
        ahead: number of rows from the known patches to each predicted patch, ``(N, Q)`` int64.
        candidates, patches: number of candidates of a prediction, and number of patches of an image.

    Returns:
        ``accuracy`` and ``chance`` (the accuracy of guessing) among the candidates; ``accuracy_of_all`` and
        ``chance_of_all`` among all patches; ``predictions``, their number; and ``by_rows_ahead``, the accuracies for each
        number of rows.
    """
    rows = []
    for number in ahead.unique().tolist():
        chosen = ahead == number
        rows.append(
            {
                "rows_ahead": number,
                "accuracy": float(found[chosen].mean()),
                "accuracy_of_all": float(found_of_all[chosen].mean()),
                "predictions": int(chosen.sum()),
            }
        )
    return {
        "accuracy": float(found.double().mean()),
        "chance": 1 / candidates,
        "accuracy_of_all": float(found_of_all.double().mean()),
        "chance_of_all": 1 / patches,
        "predictions": found.numel(),
        "by_rows_ahead": rows,
    }


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
