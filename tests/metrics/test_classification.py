from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from planewise.metrics import EpochScore, finding_scores, macro_auc, mean_auc


def auc_by_counting(probability, truth) -> float:
    """The share of pairs of a positive and a negative in which the positive has the larger probability."""
    pairs = [
        (p, q)
        for p, y in zip(probability, truth, strict=True)
        if y
        for q, z in zip(probability, truth, strict=True)
        if not z
    ]
    return sum((p > q) + 0.5 * (p == q) for p, q in pairs) / len(pairs)


def test_scores_against_counting():
    rng = np.random.default_rng(0)
    probabilities, labels = rng.random((40, 3)).round(1), (rng.random((40, 3)) < 0.4).astype(float)
    labels[3, 1] = np.nan
    scores = finding_scores(probabilities, labels, ("a", "b", "c"))
    for column, task in enumerate("abc"):
        known = np.isfinite(labels[:, column])
        truth, probability = labels[known, column] == 1, probabilities[known, column]
        assert scores["auc"][task] == pytest.approx(auc_by_counting(probability, truth))
        assert scores["positives"][task] == truth.sum()
        assert scores["negatives"][task] == (~truth).sum()
        assert scores["sensitivity"][task] == pytest.approx((probability[truth] >= 0.5).mean())
        assert scores["specificity"][task] == pytest.approx((probability[~truth] < 0.5).mean())
    assert scores["macro_auc"] == pytest.approx(np.mean(list(scores["auc"].values())))
    assert scores["exams"] == 40
    logits = torch.logit(torch.from_numpy(probabilities).clamp(0.01, 0.99))
    assert mean_auc(logits, torch.from_numpy(labels)) == pytest.approx(scores["macro_auc"])


def test_a_finding_of_one_class_has_no_auc():
    scores = finding_scores(np.array([[0.2, 0.9], [0.8, 0.1]]), np.array([[0.0, 1], [1, 1]]), ("a", "b"))
    assert scores["auc"]["a"] == scores["macro_auc"] == 1 and math.isnan(scores["auc"]["b"])
    assert math.isnan(scores["specificity"]["b"]) and scores["sensitivity"]["b"] == 0.5
    assert math.isnan(mean_auc(torch.zeros(2, 1), torch.ones(2, 1)))
    assert mean_auc(torch.tensor([-1.0, 2.0]), torch.tensor([0.0, 1.0])) == 1, "a single finding may lack its dimension"


def test_macro_auc_of_an_epoch_known_by_hand():
    metric = EpochScore(macro_auc)
    # two classes: with either as the positive one, three of four pairs are in the right order
    logits = torch.tensor([[2.0, 0.0], [0.5, 0.0], [1.0, 0.0], [0.0, 1.0], [9.0, 0.0]])
    labels = torch.tensor([0, 0, 1, 1, -1])
    metric.update((logits[:2], labels[:2]))
    metric.update((logits[2:], labels[2:]))
    assert metric.compute() == pytest.approx(0.75)
