from __future__ import annotations

import math

import ignite.distributed as idist
import pytest
import torch
from planewise.losses import PredictiveCodingLoss

from tests.processes import in_processes


def batch() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    scores = 3 * torch.randn(2, 4, 6, generator=generator)
    candidates = torch.rand(2, 4, 6, generator=generator).argsort(dim=2)[..., :3]
    return scores, {"candidates": candidates}


def test_infonce_is_the_papers():
    scores, target = batch()
    total = 0.0
    for image in range(2):
        for query in range(4):
            right, *negatives = (math.exp(float(scores[image, query, n])) for n in target["candidates"][image, query])
            total -= math.log(right / (right + sum(negatives)))
    loss = PredictiveCodingLoss()
    assert float(loss(scores, target)) == pytest.approx(total / 8, rel=1e-5)
    (term,) = loss.terms(scores, target)
    assert term.count == 8 and term.name is None


def test_the_binary_form_asks_of_each_pair_whether_it_belongs_together():
    scores, target = batch()
    total = 0.0
    for image in range(2):
        for query in range(4):
            for rank, number in enumerate(target["candidates"][image, query].tolist()):
                together = 1 / (1 + math.exp(-float(scores[image, query, number])))
                total -= math.log(together if rank == 0 else 1 - together)
    (term,) = PredictiveCodingLoss("binary").terms(scores, target)
    assert float(term.mean) == pytest.approx(total / 24, rel=1e-5) and term.count == 24


def test_patches_that_are_no_candidates_do_not_count():
    scores, target = batch()
    changed = scores.scatter(2, target["candidates"], torch.nan)
    others = torch.where(changed.isnan(), scores, 100.0)
    for form in ("infonce", "binary"):
        loss = PredictiveCodingLoss(form)
        assert torch.equal(loss(scores, target), loss(others, target))


def gradient_of_a_share(
    rank: int, weights: torch.Tensor, images: torch.Tensor, candidates: torch.Tensor
) -> torch.Tensor:
    """The mean of all processes' gradients, as in `DistributedDataParallel`."""
    world = idist.get_world_size()
    weights = weights.clone().requires_grad_(True)
    PredictiveCodingLoss()(images[rank::world] @ weights, {"candidates": candidates[rank::world]}).backward()
    return idist.all_reduce(weights.grad) / world


def test_two_processes_step_as_one_with_twice_the_batch():
    """Negatives come from the same image, so processes need not share them."""
    generator = torch.Generator().manual_seed(0)
    weights, images = torch.randn(5, 6, generator=generator), torch.randn(4, 3, 5, generator=generator)
    candidates = torch.rand(4, 3, 6, generator=generator).argsort(dim=2)[..., :4]
    alone = gradient_of_a_share(0, weights, images, candidates)
    for found in in_processes(gradient_of_a_share, weights, images, candidates):
        assert torch.allclose(found, alone, rtol=1e-5, atol=1e-6)
