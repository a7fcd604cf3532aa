from __future__ import annotations

import torch
from ignite.engine import Engine
from planewise.data.exam_sampler import mixed_seed
from planewise.engines import SeedHandler


def draws(steps: int, before: int = 0) -> list[torch.Tensor]:
    """What each iteration draws on a CPU; ``before``: numbers drawn beforehand, as whatever ran earlier would."""
    torch.rand(before)
    seen = []
    engine = Engine(lambda engine, batch: seen.append(torch.rand(4)))
    engine.state.device = torch.device("cpu")
    SeedHandler(7).attach(engine)
    engine.run(range(steps), max_epochs=1)
    return seen


def test_each_iteration_draws_what_the_seed_and_its_number_say():
    expected = []
    for iteration in (1, 2, 3):
        torch.manual_seed(mixed_seed(7, iteration))
        expected.append(torch.rand(4))
    for first, again, want in zip(draws(3), draws(3, before=5), expected, strict=True):
        assert torch.equal(first, want) and torch.equal(again, want)
    assert not torch.equal(expected[0], expected[1])
