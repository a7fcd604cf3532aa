"""Scores of contrastive predictive coding: how often a prediction finds its patch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from planewise.losses import candidate_scores


def found_first(scores: Tensor, right: Tensor) -> Tensor:
    """Whether the right one of some candidates has the highest score, 1 or 0.

    Equally high scores share: a network that gives all the same finds as often as chance does.

    Args:
        scores: ``(..., N)``.
        right: which is the right one, ``(...)`` int64.

    Returns:
        ``(...)``, float64.
    """
    highest = scores == scores.amax(dim=-1, keepdim=True)
    return highest.gather(-1, right[..., None])[..., 0].double() / highest.sum(dim=-1)


def candidates_told(prediction: Tensor, target: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """What `ignite.metrics.Accuracy` takes: scores of the candidates ``(B * Q, 1 + N)``, and which is right ``(B * Q,)``.

    The right one comes last, so that of equally high scores another one counts.
    """
    scores = candidate_scores(prediction, target).flip(1)
    return scores, torch.full((len(scores),), scores.shape[1] - 1, device=scores.device)


def patch_scores(found: Tensor, found_of_all: Tensor, ahead: Tensor, candidates: int, patches: int) -> dict[str, Any]:
    """How often patches are found.

    Args:
        found: among the candidates of each prediction, ``(N, Q)``, as `found_first` gives it.
        found_of_all: among all patches of the image.
        ahead: by how many rows each patch follows on what is known, ``(N, Q)`` int64.
        candidates, patches: how many of them there are.

    Returns:
        ``accuracy`` among the candidates and its ``chance``; ``accuracy_of_all`` and ``chance_of_all`` among all patches;
        ``predictions``, their number; and under ``by_rows_ahead`` the accuracies of each number of rows.
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
