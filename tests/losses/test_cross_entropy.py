from __future__ import annotations

import math

import pytest
import torch
from planewise.losses import ClassLoss, CrossEntropyLoss, MultiLabelBCELoss, OrdinalLoss, cumulative_targets


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


def test_cross_entropy_of_the_known_exams_against_a_loop():
    logits, labels = torch.randn(6, 4), torch.tensor([0, 3, -1, 2, -1, 3])
    total, known = 0.0, 0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        if label >= 0:
            total -= row[label] - math.log(sum(map(math.exp, row)))
            known += 1
    assert float(ClassLoss()(logits, labels)) == pytest.approx(total / known, rel=1e-5)
    assert float(ClassLoss()(logits[2:3], labels[2:3])) == 0


FINDINGS = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 1.0]])


def by_loop(logits, labels, training) -> float:
    """Weighted cross-entropy, written out label by label."""
    total, known = 0.0, 0
    for row in range(len(labels)):
        for task in range(labels.shape[1]):
            y = float(labels[row, task])
            if math.isnan(y):
                continue
            seen = [float(value) for value in training[:, task] if not math.isnan(value)]
            prevalence = sum(seen) / len(seen)
            p = 1 / (1 + math.exp(-float(logits[row, task])))
            total -= y * math.log(p) / (2 * prevalence) + (1 - y) * math.log(1 - p) / (2 * (1 - prevalence))
            known += 1
    return total / known


def test_multi_label_against_a_loop():
    torch.manual_seed(0)
    training = FINDINGS.clone()
    training[2, 1] = torch.nan
    loss = MultiLabelBCELoss(training)
    logits, labels = torch.randn(5, 3), (torch.rand(5, 3) < 0.4).float()
    labels[1, 2] = torch.nan
    assert float(loss(logits, labels)) == pytest.approx(by_loop(logits, labels, training), rel=1e-5)


def test_unknown_labels_give_no_gradient():
    logits = torch.randn(2, 3, requires_grad=True)
    label = torch.tensor([[torch.nan, 1, 0], [torch.nan] * 3])
    MultiLabelBCELoss(FINDINGS)(logits, label).backward()
    assert torch.equal(logits.grad != 0, torch.isfinite(label))
    assert float(MultiLabelBCELoss(FINDINGS)(logits, torch.full((2, 3), torch.nan))) == 0


def test_ordinal_targets_by_hand():
    assert cumulative_targets(torch.tensor([0, 1, 2, 4]), 4).tolist() == [
        [0, 0, 0, 0],
        [1, 0, 0, 0],
        [1, 1, 0, 0],
        [1, 1, 1, 1],
    ]
    assert cumulative_targets(torch.tensor(3), 4).tolist() == [1, 1, 1, 0]


def test_ordinal_against_the_equation():
    torch.manual_seed(0)
    logits, grades = torch.randn(6, 4, requires_grad=True), torch.tensor([0, 1, 2, 3, 4, 2])
    total = 0.0
    for row, grade in zip(logits.tolist(), grades.tolist(), strict=True):
        for k, x in enumerate(row):
            share = 1 / (1 + math.exp(-x))
            total -= math.log(share if grade > k else 1 - share)
    loss = OrdinalLoss()(logits, grades)
    assert float(loss) == pytest.approx(total / 24, rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert torch.allclose(gradient, (torch.sigmoid(logits) - cumulative_targets(grades, 4)) / 24, atol=1e-6)
