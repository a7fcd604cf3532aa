"""Test the cross-entropy of ten classes, pixel by pixel."""

from __future__ import annotations

import math

import pytest
import torch
from planewise.losses import PositionLoss, logged_terms

from tests.processes import in_processes


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits ``(4, 10, 6, 5)`` and classes; those of slices 0 and 2 are unknown."""
    generator = torch.Generator().manual_seed(2)
    squares = torch.randint(0, 10, (4, 6, 5), generator=generator)
    squares[[0, 2]] = -1
    return torch.randn(4, 10, 6, 5, generator=generator), squares


def test_the_mean_over_known_pixels_in_plain_python():
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


def test_by_hand():
    squares = torch.tensor([[[0, 9, -1]]])
    even = torch.zeros(1, 10, 1, 3)
    assert float(PositionLoss()(even, {"squares": squares})) == pytest.approx(math.log(10))
    sure = even.clone()
    sure[0, 0, 0, 0] = sure[0, 9, 0, 1] = 50.0
    assert float(PositionLoss()(sure, {"squares": squares})) == pytest.approx(0, abs=1e-6)
    sure[0, 3, 0, 2] = 1e6  # if the target is unknown, the prediction does not matter
    assert float(PositionLoss()(sure, {"squares": squares})) == pytest.approx(0, abs=1e-6)


def test_nothing_known_is_zero_and_has_a_gradient_of_zero():
    logits = batch()[0].requires_grad_()
    loss = PositionLoss()(logits, {"squares": torch.full((4, 6, 5), -1)})
    loss.backward()
    assert float(loss) == 0 and not logits.grad.any()


def gradient(samples: slice) -> dict[str, torch.Tensor]:
    logits, squares = batch()
    scale = torch.ones(10, 1, 1, requires_grad=True)
    loss = PositionLoss()(logits[samples] * scale, {"squares": squares[samples]})
    loss.backward()
    return {"loss": loss.detach(), "gradient": scale.grad}


def share(rank: int) -> dict[str, torch.Tensor]:
    return gradient(slice(rank, None, 2))


def test_the_mean_over_the_processes_is_the_loss_of_the_whole_batch():
    alone, shares = gradient(slice(None)), in_processes(share)
    for name, value in alone.items():
        assert torch.allclose((shares[0][name] + shares[1][name]) / 2, value, rtol=1e-5, atol=1e-7), name
