"""Scores of a classification into classes (Zhang 2024, Table 3), into findings that may be present or not (Table 5), into
ordered grades (Taleb 2020, section 4.3), and of pretexts that choose one of several classes."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import cohen_kappa_score, confusion_matrix, roc_auc_score
from torch import Tensor

from planewise.errors import InputError


def _areas(truth: np.ndarray, probabilities: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """The area under the ROC curve of each column, NaN if its known labels (not NaN) are all the same, and their mean."""
    areas: dict[str, float] = {}
    for column, name in enumerate(names):
        known = np.isfinite(truth[:, column])
        labels = truth[known, column] > 0.5
        both = labels.any() and not labels.all()
        areas[name] = float(roc_auc_score(labels, probabilities[known, column])) if both else math.nan
    known_areas = [value for value in areas.values() if math.isfinite(value)]
    return {"macro_auc": float(np.mean(known_areas)) if known_areas else math.nan, "auc": areas}


def classification_scores(probabilities: np.ndarray, labels: ArrayLike, classes: Sequence[str]) -> dict[str, Any]:
    """Area under the ROC curve of each class against the rest, their mean, accuracy and the confusion matrix.

    Args:
        probabilities: ``(N, classes)``.
        labels: class index of each exam, ``(N,)``.
        classes: names of the classes.

    Returns:
        ``auc`` of each class (NaN if none or all of the exams belong to it), and their mean ``macro_auc``;
        ``accuracy``; ``confusion`` (rows are true classes, columns predicted ones); and ``exams``, their number.
    """
    reference, predicted = np.asarray(labels), probabilities.argmax(axis=1)
    return {
        **_areas(reference[:, None] == np.arange(len(classes)), probabilities, classes),
        "accuracy": float((predicted == reference).mean()),
        "confusion": confusion_and_shares(predicted, reference, len(classes))[0].tolist(),
        "exams": len(reference),
    }


def macro_auc(logits: Tensor, labels: Tensor) -> float:
    """Mean AUC over the classes for which it is defined, for `EpochScore`; NaN if there are none.

    Args:
        logits: ``(N, classes)``.
        labels: ``(N,)``; a negative label is unknown.
    """
    known = labels.reshape(len(logits)).cpu() >= 0
    probabilities = torch.softmax(logits.float(), dim=1).cpu()[known].numpy()
    truth = labels.reshape(-1, 1).cpu()[known].numpy() == np.arange(probabilities.shape[1])
    return _areas(truth, probabilities, [*map(str, range(truth.shape[1]))])["macro_auc"]


def finding_scores(probabilities: np.ndarray, labels: np.ndarray, tasks: Sequence[str]) -> dict[str, Any]:
    """Area under the ROC curve of each finding, their mean, and sensitivity and specificity at a threshold of one half.

    Args:
        probabilities: ``(N, tasks)``.
        labels: ``(N, tasks)``: 0, 1, or NaN if unknown.
        tasks: names of the findings.

    Returns:
        For each finding, ``auc``, ``sensitivity`` and ``specificity`` (NaN if they need positive or negative exams and
        there are none), and ``positives`` and ``negatives``, the numbers of exams with these labels; ``macro_auc``, the
        mean over the findings with an AUC; and ``exams``, the number of exams.
    """
    scores = _areas(labels, probabilities, tasks)
    scores |= {name: {} for name in ("sensitivity", "specificity", "positives", "negatives")}
    for column, task in enumerate(tasks):
        having, lacking = (probabilities[labels[:, column] == value, column] for value in (1, 0))
        scores["sensitivity"][task] = float((having >= 0.5).mean()) if len(having) else math.nan
        scores["specificity"][task] = float((lacking < 0.5).mean()) if len(lacking) else math.nan
        scores["positives"][task], scores["negatives"][task] = len(having), len(lacking)
    return scores | {"exams": len(labels)}


def mean_auc(logits: Tensor, labels: Tensor) -> float:
    """Mean AUC over the findings, for `EpochScore`; NaN if no finding has both positives and negatives.

    Args:
        logits: ``(N, tasks)``.
        labels: ``(N, tasks)``: 0, 1, or NaN if unknown.
    """
    # the metric squeezes arrays with a single column
    logits, labels = (values.reshape(len(values), -1) for values in (logits, labels))
    tasks = [str(column) for column in range(labels.shape[1])]
    return finding_scores(torch.sigmoid(logits).cpu().numpy(), labels.cpu().numpy(), tasks)["macro_auc"]


def confusion_and_shares(
    predicted: NDArray[np.integer], reference: NDArray[np.integer], classes: int
) -> tuple[NDArray[np.integer], NDArray[np.floating]]:
    """The confusion matrix of classes ``(N,)``, ``(classes, classes)``, with a row for each true class and a column for each
    predicted class; and the share of correct predictions for each true class, NaN if the class does not occur."""
    confusion = confusion_matrix(reference, predicted, labels=range(classes))
    there = confusion.sum(axis=1)
    return confusion, np.where(there > 0, confusion.diagonal() / np.maximum(there, 1), np.nan)


def predicted_grades(probabilities: np.ndarray) -> np.ndarray:
    """The predicted grades ``(N,)``: the number of thresholds with a probability above one half, from the probabilities
    ``(N, thresholds)`` that the grade is above each threshold."""
    return (np.asarray(probabilities) > 0.5).sum(axis=1)


def check_thresholds(probabilities: np.ndarray, names: Sequence[str]) -> None:
    """Raise an `InputError` for outputs that are not probabilities of thresholds between the named grades, such as an output
    for each grade."""
    outputs = np.asarray(probabilities).shape[1]
    if outputs != len(names) - 1:
        raise InputError(
            f"the network has {outputs} outputs for {len(names)} grades, but a grade is the number of thresholds that it "
            f"exceeds, so there must be {len(names) - 1} outputs, trained with planewise.losses.OrdinalLoss; leave "
            "network_def#num_outputs and loss as in train.yaml"
        )


def quadratic_kappa(reference: Collection[int], predicted: Collection[int], grades: int) -> float:
    """Quadratic weighted kappa, computed by scikit-learn; NaN if all grades are the same, because it is then undefined.

    It is ``1 - sum w O / sum w E`` with ``w = (i - j)^2``, where O is the confusion matrix and E its expectation by
    chance: 1 for perfect agreement, and 0 for agreement by chance.

    Args:
        reference, predicted: grades from 0 to ``grades`` - 1.
        grades: number of grades.
    """
    if len({*map(int, reference), *map(int, predicted)}) < 2:
        return math.nan
    return float(cohen_kappa_score(reference, predicted, labels=list(range(grades)), weights="quadratic"))


def grade_kappa(logits: Tensor, grades: Tensor) -> float:
    """`quadratic_kappa` of the predicted grades, for `EpochScore`; NaN if it is undefined.

    Args:
        logits: ``(N, thresholds)``.
        grades: ``(N,)``.
    """
    predicted = predicted_grades(torch.sigmoid(logits.float()).cpu().numpy())
    return quadratic_kappa(grades.reshape(len(logits)).cpu().numpy(), predicted, logits.shape[1] + 1)
