from __future__ import annotations

from types import SimpleNamespace

import torch
from ignite.engine import Engine
from planewise.data.epoch_sampler import mixed_seed
from planewise.engines import SeedHandler
from planewise.engines.seeding import epoch_sampler


def draws(steps: int, before: int = 0, seed: int = 7) -> list[torch.Tensor]:
    """Random numbers of each iteration on a CPU; ``before``: how many numbers were drawn earlier, as by preceding code."""
    torch.rand(before)
    seen = []
    engine = Engine(lambda engine, batch: seen.append(torch.rand(4)))
    engine.state.device = torch.device("cpu")
    SeedHandler(seed).attach(engine)
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
    assert not torch.equal(draws(1, seed=8)[0], expected[0])


class Sampler:
    """Records the epochs that it is given."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def set_epoch(self, epoch: int) -> None:
        self.events.append(f"epoch {epoch}")

    def __iter__(self):
        self.events.append("drawn")
        return iter([0])

    def __len__(self) -> int:
        return 1


def test_a_sampler_of_samples_or_of_batches_may_need_the_number_of_the_epoch():
    sampler, plain = Sampler(), object()
    for samplers in ({"sampler": sampler, "batch_sampler": plain}, {"sampler": plain, "batch_sampler": sampler}):
        assert epoch_sampler(SimpleNamespace(**samplers)) is sampler
    assert epoch_sampler(SimpleNamespace(sampler=plain)) is None


def test_the_sampler_learns_the_number_of_the_epoch_before_it_draws():
    sampler = Sampler()
    engine = Engine(lambda engine, batch: None)
    engine.state.device = torch.device("cpu")
    SeedHandler(7, sampler).attach(engine)
    engine.run(sampler, max_epochs=2)
    told = [event for event in sampler.events if event != "drawn"]
    assert told == ["epoch 1", "epoch 2"] and sampler.events.index("epoch 1") < sampler.events.index("drawn")
    # also in a run that is resumed after the fourth epoch
    engine.load_state_dict({"epoch": 4, "max_epochs": 5, "epoch_length": 1})
    engine.run(sampler, max_epochs=5)
    assert [event for event in sampler.events if event != "drawn"] == [*told, "epoch 5"]
