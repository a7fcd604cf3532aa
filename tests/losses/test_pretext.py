"""Test the pretext losses against the equations, written out."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from planewise.losses import (
    MultitaskLoss,
    PositionLoss,
    RelativeLocationLoss,
    RelativeOrientationLoss,
    RestorationLoss,
    SliceOrderLoss,
    logged_terms,
)

N, K, H, W = 3, 2, 5, 4


@pytest.fixture
def case():
    torch.manual_seed(0)
    prediction = torch.rand(N, K + 1, H, W)
    prediction[:, K] = torch.rand(N, 1, 1)
    return prediction, {"heatmaps": torch.rand(N, K, H, W), "location": torch.rand(N)}


def orientation(prediction, heatmaps, known=lambda i, k: True) -> float:
    total, terms = 0.0, 0
    for i in range(N):
        for k in range(K):
            if not known(i, k):
                continue
            terms += 1
            for x in range(H):
                for y in range(W):
                    total += float(heatmaps[i, k, x, y] - prediction[i, k, x, y]) ** 2 / (H * W)
    return total / terms


def location(prediction, locations) -> float:
    return sum(float(locations[i] - prediction[i, K, 0, 0]) ** 2 for i in range(N)) / N


def test_equation_2(case):
    assert float(RelativeOrientationLoss()(*case)) == pytest.approx(orientation(case[0], case[1]["heatmaps"]), rel=1e-5)


def test_equation_5(case):
    assert float(RelativeLocationLoss()(*case)) == pytest.approx(location(case[0], case[1]["location"]), rel=1e-5)


def test_equation_6_and_its_weights(case):
    expected = orientation(case[0], case[1]["heatmaps"]), location(case[0], case[1]["location"])
    loss = MultitaskLoss()
    assert float(loss(*case)) == pytest.approx(sum(expected), rel=1e-5)
    assert [float(part) for part in logged_terms(loss).values()] == pytest.approx(expected, rel=1e-5)
    assert float(MultitaskLoss(2, 0.5)(*case)) == pytest.approx(2 * expected[0] + 0.5 * expected[1], rel=1e-5)


def test_unknown_targets_are_left_out_and_give_no_gradient(case):
    prediction, target = case
    prediction.requires_grad_()
    target["heatmaps"][1, 0] = torch.nan
    target["location"][2] = torch.nan
    loss = RelativeOrientationLoss()(prediction, target)
    assert float(loss) == pytest.approx(
        orientation(prediction.detach(), target["heatmaps"], lambda i, k: (i, k) != (1, 0)), rel=1e-5
    )
    (loss + RelativeLocationLoss()(prediction, target)).backward()
    assert torch.isfinite(prediction.grad).all()
    assert prediction.grad[1, 0].abs().sum() == 0 and prediction.grad[2, K].abs().sum() == 0
    assert prediction.grad[1, 1].abs().sum() > 0


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits ``(4, 10, 6, 5)`` and classes; those of slices 0 and 2 are unknown."""
    generator = torch.Generator().manual_seed(2)
    squares = torch.randint(0, 10, (4, 6, 5), generator=generator)
    squares[[0, 2]] = -1
    return torch.randn(4, 10, 6, 5, generator=generator), squares


def test_positions_have_the_mean_over_known_pixels_in_plain_python():
    logits, squares = batch()
    total, count = 0.0, 0
    for row in range(4):
        for i in range(6):
            for j in range(5):
                if squares[row, i, j] >= 0:
                    weights = [math.exp(float(value)) for value in logits[row, :, i, j]]
                    total -= math.log(weights[int(squares[row, i, j])] / sum(weights))
                    count += 1
    assert count == 60
    loss = PositionLoss()
    assert float(loss(logits, {"squares": squares})) == pytest.approx(total / count, rel=1e-5)
    (term,) = loss.terms(logits, {"squares": squares})
    assert int(term.count) == 60 and logged_terms(loss) == {}, "the only term is the loss itself, so it has no column"


@pytest.mark.parametrize("hidden_only", [False, True])
@pytest.mark.parametrize("shape", [(3, 2, 4, 5), (2, 1, 3, 4, 2)])
def test_the_equation_of_restoration(shape, hidden_only):
    prediction, restored = torch.randn(shape, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)
    hidden = torch.rand(shape[0], 1, *shape[2:]) < 0.4
    total, count = 0.0, 0
    for place in product(*map(range, shape)):
        if not hidden_only or hidden[(place[0], 0, *place[2:])]:
            total += float(prediction[place] - restored[place]) ** 2
            count += 1
    target = {"restored": restored, "hidden": hidden}
    assert float(RestorationLoss(hidden_only)(prediction, target)) == pytest.approx(total / count, rel=1e-5)
    (term,) = RestorationLoss(hidden_only).terms(prediction, target)
    assert int(term.count) == count


def test_the_equation_of_slice_order():
    logits, nearer = torch.randn(7, 1, dtype=torch.float64), torch.tensor([1, 0, 0, 1, 1, 0, 1], dtype=torch.float64)
    total = 0.0
    for logit, label in zip(logits[:, 0].tolist(), nearer.tolist(), strict=True):
        probability = 1 / (1 + math.exp(-logit))
        total -= label * math.log(probability) + (1 - label) * math.log(1 - probability)
    assert float(SliceOrderLoss()(logits, {"first_is_nearer": nearer})) == pytest.approx(total / 7)
    (term,) = SliceOrderLoss().terms(logits, {"first_is_nearer": nearer})
    assert term.count == 7
