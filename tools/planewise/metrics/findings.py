"""Scores of a classification into findings, each of which may be present or not (Zhang 2024, Table 5)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor


def finding_scores(probabilities: np.ndarray, labels: np.ndarray, tasks: Sequence[str]) -> dict[str, Any]:
    """Area under the ROC curve of each finding, their mean, and sensitivity and specificity at a threshold of one half.

    Args:
        probabilities: ``(N, tasks)``.
        labels: ``(N, tasks)``: 0, 1, or NaN if unknown.
        tasks: names of the findings.

    Returns:
        For each finding, ``auc``, ``sensitivity`` and ``specificity`` (None if they need positive or negative exams and
        there are none), and ``positives`` and ``negatives``, the numbers of exams with these labels; ``macro_auc``, the
        mean over the findings with an AUC; and ``exams``, the number of exams.
    """
    scores: dict[str, Any] = {name: {} for name in ("auc", "sensitivity", "specificity", "positives", "negatives")}
    for column, task in enumerate(tasks):
        known = np.isfinite(labels[:, column])
        truth, probability = labels[known, column] > 0.5, probabilities[known, column]
        both = truth.any() and not truth.all()
        scores["auc"][task] = float(roc_auc_score(truth, probability)) if both else None
        scores["sensitivity"][task] = float((probability[truth] >= 0.5).mean()) if truth.any() else None
        scores["specificity"][task] = float((probability[~truth] < 0.5).mean()) if not truth.all() else None
        scores["positives"][task] = int(truth.sum())
        scores["negatives"][task] = int((~truth).sum())
    areas = [value for value in scores["auc"].values() if value is not None]
    return {"macro_auc": float(np.mean(areas)) if areas else None, **scores, "exams": len(labels)}


def mean_auc(logits: Tensor, labels: Tensor) -> float:
    """Mean AUC over the findings, for `EpochScore`; NaN if no finding has both positives and negatives.

    Args:
        logits: ``(N, tasks)``.
        labels: ``(N, tasks)``: 0, 1, or NaN if unknown.
    """
    # the metric squeezes arrays with a single column
    logits, labels = (values.reshape(len(values), -1) for values in (logits, labels))
    tasks = [str(column) for column in range(labels.shape[1])]
    found = finding_scores(torch.sigmoid(logits).cpu().numpy(), labels.cpu().numpy(), tasks)["macro_auc"]
    return math.nan if found is None else found
