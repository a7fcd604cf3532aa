"""Scores of contrastive predictive coding: how often a prediction finds its patch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from planewise.losses import candidate_scores


def found_first(scores: Tensor, right: Tensor) -> Tensor:
    """Whether the right candidate has the highest score, 1 or 0.

    With ties, the right candidate gets an equal share of 1, so a network with constant scores has the accuracy of chance.

    Args:
        scores: ``(..., N)``.
        right: index of the right candidate, ``(...)`` int64.

    Returns:
        ``(...)``, float64.
    """
    highest = scores == scores.amax(dim=-1, keepdim=True)
    return highest.gather(-1, right[..., None])[..., 0].double() / highest.sum(dim=-1)


def candidates_told(prediction: Tensor, target: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The input of `ignite.metrics.Accuracy`: scores of the candidates ``(B * Q, 1 + N)``, and the index of the right
    candidate ``(B * Q,)``.

    The right candidate comes last, so that ties count as errors.
    """
    scores = candidate_scores(prediction, target).flip(1)
    return scores, torch.full((len(scores),), scores.shape[1] - 1, device=scores.device)


def patch_scores(found: Tensor, found_of_all: Tensor, ahead: Tensor, candidates: int, patches: int) -> dict[str, Any]:
    """Accuracy of finding patches.

    Args:
        found: whether each prediction finds its patch among its candidates, ``(N, Q)``, from `found_first`.
        found_of_all: the same among all patches of the image.
        ahead: number of rows between each patch and the known patches, ``(N, Q)`` int64.
        candidates, patches: number of candidates, and of patches per image.

    Returns:
        ``accuracy`` among the candidates and its ``chance``; ``accuracy_of_all`` and ``chance_of_all`` among all
        patches; ``predictions``, the number of predictions; and under ``by_rows_ahead`` the accuracies for each number of
        rows.
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
