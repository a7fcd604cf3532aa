from __future__ import annotations

import math

import ignite.distributed as idist
import pytest
import torch
from planewise.errors import InputError
from planewise.losses import BYOLLoss, NegativeCosineLoss, NTXentLoss

from tests.processes import in_processes


def by_the_paper(views: list[list[list[float]]], temperature: float) -> float:
    """Chen 2020, Eq. 1, and the mean over all pairs in Algorithm 1, literally."""
    z = [view for slice_ in views for view in slice_]  # 2k-1 and 2k are a pair

    def sim(i: int, j: int) -> float:
        dot = sum(a * b for a, b in zip(z[i], z[j], strict=True))
        return dot / (math.hypot(*z[i]) * math.hypot(*z[j]))

    def loss(i: int, j: int) -> float:
        others = sum(math.exp(sim(i, k) / temperature) for k in range(len(z)) if k != i)
        return -math.log(math.exp(sim(i, j) / temperature) / others)

    pairs = [(2 * k, 2 * k + 1) for k in range(len(views))]
    return sum(loss(i, j) + loss(j, i) for i, j in pairs) / len(z)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_nt_xent_is_the_papers(temperature):
    views = torch.randn(5, 2, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (term,) = NTXentLoss(temperature).terms(views, {})
    assert float(term.mean) == pytest.approx(by_the_paper(views.tolist(), temperature), rel=1e-5)
    assert term.count == 10


def test_byols_loss_is_the_papers():
    prediction = torch.randn(3, 2, 2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def one(q: list[float], z: list[float]) -> float:
        q, z = ([value / math.hypot(*row) for value in row] for row in (q, z))
        return sum((a - b) ** 2 for a, b in zip(q, z, strict=True))

    # the prediction from view v is compared with the target's projection of the other view
    expected = [one(row[0][0], row[1][1]) + one(row[1][0], row[0][1]) for row in prediction.tolist()]
    assert float(BYOLLoss()(prediction, {})) == pytest.approx(sum(expected) / 3, rel=1e-5)


def test_simsiams_loss_is_the_papers():
    prediction = torch.randn(3, 2, 2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def d(p: list[float], z: list[float]) -> float:
        return -sum(a * b for a, b in zip(p, z, strict=True)) / (math.hypot(*p) * math.hypot(*z))

    expected = [d(one[0], other[1]) / 2 + d(other[0], one[1]) / 2 for one, other in prediction.tolist()]
    (term,) = NegativeCosineLoss().terms(prediction, {})
    assert float(term.mean) == pytest.approx(sum(expected) / 3, rel=1e-5) and term.count == 3
    assert float(NegativeCosineLoss()(torch.ones(2, 2, 2, 5), {})) == pytest.approx(-1)


@pytest.mark.parametrize("loss", [BYOLLoss(), NegativeCosineLoss()])
def test_no_gradient_reaches_the_target(loss):
    prediction = torch.randn(3, 2, 2, 5, requires_grad=True)
    loss(prediction, {}).backward()
    assert prediction.grad[:, :, 0].abs().min() > 0 and not prediction.grad[:, :, 1].any()


def test_one_slice_has_nothing_to_be_told_from():
    with pytest.raises(InputError):
        NTXentLoss()(torch.randn(1, 2, 4, requires_grad=True), {})
    with torch.no_grad():
        assert float(NTXentLoss()(torch.randn(1, 2, 4), {})) == pytest.approx(0, abs=1e-6)


def gradient_of_a_share(rank: int, weights: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """As `DistributedDataParallel` does, average the gradients of all processes."""
    world = idist.get_world_size()
    weights = weights.clone().requires_grad_(True)
    NTXentLoss()(images[rank::world] @ weights, {}).backward()
    return idist.all_reduce(weights.grad) / world


def test_two_processes_step_as_one_with_twice_the_batch():
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(6, 4, dtype=torch.float64, generator=generator)
    images = torch.randn(6, 2, 6, dtype=torch.float64, generator=generator)
    alone = gradient_of_a_share(0, weights, images)
    for found in in_processes(gradient_of_a_share, weights, images):
        assert torch.allclose(found, alone, rtol=1e-5, atol=1e-7)
