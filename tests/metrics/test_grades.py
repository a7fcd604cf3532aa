"""Test scores of grades against numbers worked out by hand."""

import math

import numpy as np
import pytest
import torch
from planewise.metrics import EpochScore, grade_kappa, predicted_grades, quadratic_kappa


def by_the_equation(reference, predicted, grades):
    """1 - sum w O / sum w E, term by term."""
    observed, expected, count = 0.0, 0.0, len(reference)
    for i in range(grades):
        for j in range(grades):
            weight = (i - j) ** 2
            observed += weight * sum(r == i and p == j for r, p in zip(reference, predicted, strict=True))
            expected += weight * sum(r == i for r in reference) * sum(p == j for p in predicted) / count
    return 1 - observed / expected


def test_grades_are_thresholds_passed():
    probabilities = np.array([[0.1, 0.1, 0, 0], [0.9, 0.4, 0.2, 0.1], [0.9, 0.8, 0.7, 0.6], [0.6, 0.5, 0.9, 0.1]])
    # one half does not exceed one half
    assert predicted_grades(probabilities).tolist() == [0, 1, 4, 2]


def test_kappa_against_the_equation():
    rng = np.random.default_rng(0)
    for _ in range(5):
        reference, predicted = rng.integers(0, 5, 30).tolist(), rng.integers(0, 5, 30).tolist()
        assert quadratic_kappa(reference, predicted, 5) == pytest.approx(by_the_equation(reference, predicted, 5))


def test_the_metric_is_of_the_whole_epoch():
    torch.manual_seed(0)
    metric, logits, grades = EpochScore(grade_kappa), torch.randn(20, 4), torch.randint(0, 5, (20,))
    for start in (0, 7):
        metric.update((logits[start : start + 13 if start else 7], grades[start : start + 13 if start else 7]))
    told = (logits > 0).sum(dim=1).tolist()
    assert metric.compute() == pytest.approx(by_the_equation(grades.tolist(), told, 5))
    metric.reset()
    metric.update((torch.full((2, 4), -1.0), torch.zeros(2, dtype=torch.long)))
    assert math.isnan(metric.compute())
