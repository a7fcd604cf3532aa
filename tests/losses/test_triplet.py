from __future__ import annotations

import math

import ignite.distributed as idist
import pytest
import torch
from planewise.losses import TripletLoss, negatives

from tests.processes import in_processes


def target_of(index: list[int]) -> dict[str, torch.Tensor]:
    order = torch.rand(len(index), len(index), generator=torch.Generator().manual_seed(2))
    return {"index": torch.tensor(index), "order": order}


def by_the_paper(z: list, positive: list, negative: list, alpha: float) -> float:
    """Taleb 2020, Eq. 3, literally."""
    total = 0.0
    for one, near, far in zip(z, positive, negative, strict=True):
        total += max(0.0, math.dist(one, near) - math.dist(one, far) + alpha)
    return total / len(z)


@pytest.mark.parametrize("margin", [1.0, 0.2])
def test_it_is_the_papers_with_a_third_view(margin):
    views = torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(0))
    (term,) = TripletLoss(margin).terms(views, {})
    assert float(term.mean) == pytest.approx(by_the_paper(*views.transpose(0, 1).tolist(), margin), rel=1e-4)
    assert term.count == 6 and term.name is None


def test_a_negative_of_the_batch_is_the_one_of_another_sample_that_comes_first():
    views = torch.randn(5, 2, 4, generator=torch.Generator().manual_seed(0))
    target = target_of([7, 3, 7, 8, 9])  # the first and the third are the same volume
    target["order"][target["index"][:, None] == target["index"]] = 1.0  # a sample itself would come first
    chosen = []
    for sample in range(5):
        others = [n for n in range(5) if target["index"][n] != target["index"][sample]]
        chosen.append(max(others, key=lambda n: float(target["order"][sample, n])))
    assert torch.equal(negatives(views, target), views[chosen, 0])
    expected = by_the_paper(views[:, 0].tolist(), views[:, 1].tolist(), views[chosen, 0].tolist(), 1.0)
    assert float(TripletLoss()(views, target)) == pytest.approx(expected, rel=1e-4)


def test_in_validation_a_process_draws_from_its_own_batch(monkeypatch):
    """The second of two processes has the second, fourth and sixth sample of a single process."""
    monkeypatch.setattr(idist, "get_world_size", lambda: 2)
    monkeypatch.setattr(idist, "get_rank", lambda: 1)
    views = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0))
    order = torch.tensor(
        [[0.9, 0.8, 0.1, 0.2, 0.3, 0.4], [0.0, 0.7, 0.9, 0.1, 0.5, 0.2], [0.3, 0.1, 0.2, 0.6, 0.9, 0.8]]
    )
    with torch.no_grad():
        found = negatives(views, {"index": torch.tensor([1, 3, 5]), "order": order})
    assert torch.equal(found, views[[2, 0, 1], 0])


def gradient_of_a_share(rank: int, weights: torch.Tensor, images: torch.Tensor, target: dict) -> torch.Tensor:
    """What `DistributedDataParallel` makes of the gradients of every process: their mean."""
    world = idist.get_world_size()
    weights = weights.clone().requires_grad_(True)
    own = {name: value[rank::world] for name, value in target.items()}
    TripletLoss()(images[rank::world] @ weights, own).backward()
    return idist.all_reduce(weights.grad) / world


def test_two_processes_step_as_one_with_twice_the_batch():
    generator = torch.Generator().manual_seed(0)
    weights, images = torch.randn(6, 4, generator=generator), torch.randn(6, 2, 6, generator=generator)
    target = target_of([0, 1, 2, 0, 4, 5])
    alone = gradient_of_a_share(0, weights, images, target)
    for found in in_processes(gradient_of_a_share, weights, images, target):
        assert torch.allclose(found, alone, rtol=1e-5, atol=1e-6)
