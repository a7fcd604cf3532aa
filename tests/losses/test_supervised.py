"""Test the losses of labels."""

from __future__ import annotations

import math

import pytest
import torch
from monai.losses import DiceLoss
from planewise.losses import (
    ClassLoss,
    CrossEntropyLoss,
    MultiLabelBCELoss,
    OrdinalLoss,
    SegmentationLoss,
    SoftDiceLoss,
    cumulative_targets,
    logged_terms,
)
from torch import nn

from tests.processes import in_processes


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


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ConvTranspose2d(3, 4, 3))


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_cross_entropy_and_l1_on_the_convolutions_weights(reduction):
    network = net()
    logits, label = torch.randn(2, 4, 5, 5), torch.randint(0, 4, (2, 1, 5, 5)).float()
    entropy = 0.0
    for n in range(2):
        for i in range(5):
            for j in range(5):
                value = logits[n, :, i, j]
                entropy -= float(torch.log(torch.exp(value)[int(label[n, 0, i, j])] / torch.exp(value).sum())) / 50
    penalty = 0.01 * float(network[0].weight.abs().sum() + network[2].weight.abs().sum())
    if reduction == "mean":
        penalty /= 3 * 1 * 9 + 3 * 4 * 9
    loss = SegmentationLoss(network, l1=0.01, l1_reduction=reduction)
    assert float(loss(logits, label)) == pytest.approx(entropy + penalty, rel=1e-5)
    assert {name: float(part) for name, part in logged_terms(loss).items()} == pytest.approx(
        {"cross_entropy": entropy, "l1": penalty}, rel=1e-5
    )


def test_each_class_has_its_weight():
    logits, label = torch.randn(2, 4, 5, 5), torch.arange(50).reshape(2, 1, 5, 5) % 4
    weights = [1.0, 1.5, 0.5, 0.0]
    pixels = -logits.log_softmax(1).gather(1, label)
    chosen = torch.tensor(weights)[label]
    (term,) = SegmentationLoss(net(), l1=0, class_weights=weights).terms(logits, label)
    assert float(term.mean) == pytest.approx(float((pixels * chosen).sum() / chosen.sum()))
    assert float(term.count) == float(chosen.sum())


def test_validation_has_no_penalty():
    logits, label = torch.randn(2, 4, 5, 5), torch.zeros(2, 1, 5, 5)
    with torch.no_grad():
        validation = SegmentationLoss(net(), l1=0.01)(logits, label)
    assert float(validation) == pytest.approx(float(SegmentationLoss(net(), l1=0)(logits, label)))


def test_frozen_weights_are_not_penalised():
    network = net()
    network[0].requires_grad_(False)
    loss = SegmentationLoss(network, l1=1)
    loss(torch.randn(2, 4, 5, 5), torch.zeros(2, 1, 5, 5))
    assert float(logged_terms(loss)["l1"]) == pytest.approx(float(network[2].weight.abs().mean()))


def transcribed_soft_dice(logits: torch.Tensor, label: torch.Tensor) -> float:
    """The loss computed voxel by voxel from the equation."""
    batch, classes = logits.shape[:2]
    total = 0.0
    for c in range(classes):
        shared = predicted = held = 0.0
        for b in range(batch):
            for v in range(logits[b, 0].numel()):
                exponentials = [math.exp(float(logits[b, k].flatten()[v])) for k in range(classes)]
                p, g = exponentials[c] / sum(exponentials), float(label[b, 0].flatten()[v] == c)
                shared, predicted, held = shared + p * g, predicted + p, held + g
        total += (2 * shared + 1e-5) / (predicted + held + 1e-5)
    return 1 - total / classes


def test_soft_dice_is_the_equation():
    torch.manual_seed(0)
    for sides in ((3, 2, 2), (3, 4)):
        logits, label = torch.randn(2, 4, *sides), torch.randint(0, 4, (2, 1, *sides)).float()
        assert float(SoftDiceLoss()(logits, label)) == pytest.approx(transcribed_soft_dice(logits, label), abs=1e-5)
        peer = DiceLoss(to_onehot_y=True, softmax=True, batch=True)
        assert float(SoftDiceLoss()(logits, label)) == pytest.approx(float(peer(logits, label)), abs=1e-5)


def test_a_structure_that_is_not_there():
    """An absent structure costs nothing if it is not predicted, and its full share if it is."""
    nothing, label = torch.zeros(1, 2, 2, 2, 2), torch.zeros(1, 1, 2, 2, 2)
    nothing[:, 0] = 60
    assert float(SoftDiceLoss()(nothing, label)) == pytest.approx(0, abs=1e-5)
    # each class has half of eight voxels: the background's Dice is 2 * 4 / (4 + 8)
    assert float(SoftDiceLoss()(torch.zeros(1, 2, 2, 2, 2), label)) == pytest.approx(1 - (2 / 3) / 2, abs=1e-4)


def slices() -> tuple[torch.Tensor, torch.Tensor]:
    """Four images, of which the last two contain no structure."""
    torch.manual_seed(1)
    logits, label = torch.randn(4, 3, 3, 2), torch.randint(0, 3, (4, 1, 3, 2)).float()
    label[2:] = 0
    return logits, label


def in_halves(rank: int) -> dict[str, torch.Tensor]:
    logits, label = (value[2 * rank : 2 * rank + 2] for value in slices())
    logits.requires_grad_(True)
    loss = SoftDiceLoss()(logits, label)
    loss.backward()
    return {"loss": loss.detach(), "gradient": logits.grad}


def test_two_processes_are_one_batch():
    logits, label = slices()
    logits.requires_grad_(True)
    expected = SoftDiceLoss()(logits, label)
    expected.backward()
    found = in_processes(in_halves)
    assert all(torch.allclose(half["loss"], expected) for half in found)
    # processes average their gradients
    assert torch.allclose(torch.cat([half["gradient"] for half in found]) / 2, logits.grad, atol=1e-7)
