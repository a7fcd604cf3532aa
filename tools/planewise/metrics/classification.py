"""Scores of a classification, Zhang 2024 Table 3."""

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
