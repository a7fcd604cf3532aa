"""Scores of contrastive predictive coding: how often a prediction identifies its patch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from planewise.losses import candidate_scores


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
