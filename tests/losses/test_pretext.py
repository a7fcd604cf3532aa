"""Test the pretext losses against the equations, written out."""

from __future__ import annotations

import pytest
import torch
from planewise.losses import MultitaskLoss, RelativeLocationLoss, RelativeOrientationLoss, logged_terms

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


def test_nothing_known_is_no_loss(case):
    target = {"heatmaps": torch.full((N, K, H, W), torch.nan), "location": torch.full((N,), torch.nan)}
    assert float(MultitaskLoss()(case[0], target)) == 0
