from __future__ import annotations

import math

import pytest
import torch
from planewise.losses import MultiLabelBCELoss

LABELS = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 1.0]])


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


def test_against_a_loop():
    torch.manual_seed(0)
    training = LABELS.clone()
    training[2, 1] = torch.nan
    loss = MultiLabelBCELoss(training)
    logits, labels = torch.randn(5, 3), (torch.rand(5, 3) < 0.4).float()
    labels[1, 2] = torch.nan
    assert float(loss(logits, labels)) == pytest.approx(by_loop(logits, labels, training), rel=1e-5)


def test_positives_and_negatives_count_alike():
    """Over the training exams, a constant prediction of one half costs ln 2 for positives and for negatives, however rare the
    finding.
    """
    loss = MultiLabelBCELoss(LABELS)
    for value in (0.0, 1.0):
        one = torch.where(value == LABELS, LABELS, torch.nan)
        weight = torch.isfinite(one).sum() * loss(torch.zeros(4, 3), one).item() / math.log(2)
        assert weight == pytest.approx(6), "the weight is half of 4 exams times 3 findings"


def test_a_finding_that_all_have_is_not_weighted_and_named(caplog):
    labels = LABELS.clone()
    labels[:, 1] = 1
    loss = MultiLabelBCELoss(labels)
    assert (
        "finding number 2 cannot be learned, because all or none of the 4 training exams have this finding"
        in caplog.text
    )
    assert math.isfinite(float(loss(torch.randn(4, 3), labels)))


def test_unknown_labels_give_no_gradient():
    logits = torch.randn(2, 3, requires_grad=True)
    label = torch.tensor([[torch.nan, 1, 0], [torch.nan] * 3])
    MultiLabelBCELoss(LABELS)(logits, label).backward()
    assert torch.equal(logits.grad != 0, torch.isfinite(label))
    assert float(MultiLabelBCELoss(LABELS)(logits, torch.full((2, 3), torch.nan))) == 0
