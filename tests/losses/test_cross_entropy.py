from __future__ import annotations

import math

import pytest
import torch
from planewise.losses import ClassLoss, CrossEntropyLoss


@pytest.mark.parametrize(("key", "classes"), [("rotation", 10), ("place", 26), ("permutation", 6)])
def test_it_is_the_papers_cross_entropy(key, classes):
    torch.manual_seed(0)
    logits, drawn = torch.randn(7, classes), torch.randint(0, classes, (7,))
    total = 0.0
    for k in range(7):
        exponentials = [math.exp(float(value)) for value in logits[k]]
        total -= math.log(exponentials[int(drawn[k])] / sum(exponentials))
    loss = CrossEntropyLoss(key)
    assert float(loss(logits, {key: drawn, "original": logits})) == pytest.approx(total / 7, rel=1e-5)
    (term,) = loss.terms(logits, {key: drawn})
    assert term.count == 7 and term.name is None


def test_no_idea_costs_the_logarithm_of_the_classes():
    loss = CrossEntropyLoss("rotation")
    assert float(loss(torch.zeros(3, 10), {"rotation": torch.tensor([0, 5, 9])})) == pytest.approx(math.log(10))


def test_cross_entropy_of_the_known_exams_against_a_loop():
    logits, labels = torch.randn(6, 4), torch.tensor([0, 3, -1, 2, -1, 3])
    total, known = 0.0, 0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        if label >= 0:
            total -= row[label] - math.log(sum(map(math.exp, row)))
            known += 1
    assert float(ClassLoss()(logits, labels)) == pytest.approx(total / known, rel=1e-5)
    assert float(ClassLoss()(logits[2:3], labels[2:3])) == 0
