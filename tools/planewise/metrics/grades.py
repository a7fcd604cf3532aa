"""Scores of ordered grades (Taleb 2020, section 4.3)."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.metrics import cohen_kappa_score
from torch import Tensor

from planewise.errors import InputError
from planewise.metrics.confusion import confusion_matrix


def predicted_grades(probabilities: np.ndarray) -> np.ndarray:
    """The predicted grades. A grade is the number of thresholds with a probability above one half.

    Args:
        probabilities: probability that the grade is above each threshold, ``(N, thresholds)``.

    Returns:
        ``(N,)``, from 0 to the number of thresholds.
    """
    return (np.asarray(probabilities) > 0.5).sum(axis=1)


def check_thresholds(probabilities: np.ndarray, names: Sequence[str]) -> None:
    """Refuse outputs that are not probabilities of thresholds, such as an output for each grade.

    Args:
        probabilities: see `predicted_grades`.
        names: names of the grades.

    Raises:
        InputError: there is not one output for each threshold between two grades.
    """
    outputs = np.asarray(probabilities).shape[1]
    if outputs != len(names) - 1:
        raise InputError(
            f"the network has {outputs} outputs for {len(names)} grades, but a grade is the number of thresholds that it "
            f"exceeds, so there must be {len(names) - 1} outputs, trained with planewise.losses.OrdinalLoss; leave "
            "network_def#num_outputs and loss as in train.yaml"
        )


def quadratic_kappa(reference: Collection[int], predicted: Collection[int], grades: int) -> float | None:
    """Quadratic weighted kappa, computed by scikit-learn.

    It is ``1 - sum w O / sum w E`` with ``w = (i - j)^2``, where O is the confusion matrix and E its expectation by
    chance: 1 for perfect agreement, and 0 for agreement by chance.

    Args:
        reference, predicted: grades from 0 to ``grades`` - 1.
        grades: number of grades.

    Returns:
        The kappa; None if all grades are the same, because kappa is then undefined.
    """
    if len({*map(int, reference), *map(int, predicted)}) < 2:
        return None
    return float(cohen_kappa_score(reference, predicted, labels=list(range(grades)), weights="quadratic"))


def grade_kappa(logits: Tensor, grades: Tensor) -> float:
    """`quadratic_kappa` of the predicted grades, for `EpochScore`; NaN if it is undefined.

    Args:
        logits: ``(N, thresholds)``.
        grades: ``(N,)``.
    """
    predicted = predicted_grades(torch.sigmoid(logits.float()).cpu().numpy())
    found = quadratic_kappa(grades.reshape(len(logits)).cpu().numpy(), predicted, logits.shape[1] + 1)
    return math.nan if found is None else found


def grade_scores(probabilities: np.ndarray, reference: ArrayLike, names: Sequence[str]) -> dict[str, Any]:
    """Quadratic weighted kappa, accuracy, mean distance of grades, and the confusion matrix.

    Args:
        probabilities: see `predicted_grades`.
        reference: true grades.
        names: names of the grades, one more than there are thresholds.

    Returns:
        ``kappa`` (`quadratic_kappa`), ``accuracy``, ``distance`` (mean absolute difference of grades), ``recall`` of each
        grade (None for a grade without photographs), ``confusion`` (rows are true grades, columns predicted ones) and
        ``photographs``, their number.

    Raises:
        InputError: see `check_thresholds`.
    """
    check_thresholds(probabilities, names)
    true, predicted = np.asarray(reference), predicted_grades(probabilities)
    confusion, recall = confusion_matrix(predicted, true, len(names))
    return {
        "kappa": quadratic_kappa(true, predicted, len(names)),
        "accuracy": float((predicted == true).mean()),
        "distance": float(np.abs(predicted - true).mean()),
        "recall": {
            name: None if math.isnan(share) else share for name, share in zip(names, recall.tolist(), strict=True)
        },
        "confusion": confusion.tolist(),
        "photographs": len(true),
    }
