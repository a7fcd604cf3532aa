"""Scores of a classification into classes (Zhang 2024, Table 3), or into findings that may be present or not (Table 5)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.metrics import confusion_matrix, roc_auc_score
from torch import Tensor


def classification_scores(probabilities: np.ndarray, labels: ArrayLike, classes: Sequence[str]) -> dict[str, Any]:
    """Area under the ROC curve of each class against the rest, their mean, accuracy and the confusion matrix.

    Args:
        probabilities: ``(N, classes)``.
        labels: class index of each exam, ``(N,)``.
        classes: names of the classes.

    Returns:
        ``auc`` of each class (None if none or all of the exams belong to it), and their mean ``macro_auc``;
        ``accuracy``; ``confusion`` (rows are true classes, columns predicted ones); and ``exams``, their number.
    """
    reference = np.asarray(labels)
    auc: dict[str, float | None] = {}
    for index, name in enumerate(classes):
        of_class = reference == index
        both = of_class.any() and not of_class.all()
        auc[name] = float(roc_auc_score(of_class, probabilities[:, index])) if both else None
    known = [value for value in auc.values() if value is not None]
    predicted = probabilities.argmax(axis=1)
    return {
        "macro_auc": float(np.mean(known)) if known else None,
        "auc": auc,
        "accuracy": float((predicted == reference).mean()),
        "confusion": confusion_matrix(reference, predicted, labels=range(len(classes))).tolist(),
        "exams": len(reference),
    }


def macro_auc(logits: Tensor, labels: Tensor) -> float:
    """Mean AUC over the classes for which it is defined, for `EpochScore`; NaN if there are none.

    Args:
        logits: ``(N, classes)``.
        labels: ``(N,)``; a negative label is unknown.
    """
    labels = labels.reshape(len(logits)).long().cpu()
    known = labels >= 0
    if not bool(known.any()):
        return math.nan
    probabilities = torch.softmax(logits.float(), dim=1).cpu()[known].numpy()
    names = [str(index) for index in range(probabilities.shape[1])]
    found = classification_scores(probabilities, labels[known].numpy(), names)["macro_auc"]
    return math.nan if found is None else found


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
