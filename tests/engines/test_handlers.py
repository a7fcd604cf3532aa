from __future__ import annotations

import copy
import math
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events
from planewise.data.epoch_sampler import mixed_seed
from planewise.engines import (
    EarlyStopHandler,
    FiniteLossHandler,
    FrozenEpochsHandler,
    MomentumHandler,
    PlateauHandler,
    SameBuffersHandler,
    SeedHandler,
    WeightsLoader,
    momentum_at,
)
from planewise.errors import InputError
from planewise.networks import ResidualDecoder, ResidualEncoder, SliceNet
from torch.optim.lr_scheduler import ReduceLROnPlateau

from tests.processes import in_processes


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


def mean_that_is_validated(rank: int) -> torch.Tensor:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2))
    network[1].running_mean.fill_(rank + 1.0)
    evaluator = Engine(lambda engine, batch: network[1].running_mean.clone())
    SameBuffersHandler(network).attach(evaluator)
    # one process validates more samples than the other
    evaluator.run([0] * (rank + 1))
    return evaluator.state.output


def test_the_first_processs_statistics_are_validated_by_all():
    assert [found.tolist() for found in in_processes(mean_that_is_validated)] == [[1, 1], [1, 1]]


def run_with_losses(losses: list[float], interval: int, length: int = 5, seen: list[int] | None = None) -> None:
    """Run steps with these losses; ``seen`` collects the epochs after which a checkpoint would be written."""
    trainer = Engine(lambda engine, number: {"loss": torch.tensor(losses[engine.state.iteration - 1])})
    trainer.optimizer = SimpleNamespace(param_groups=[{"lr": 10.0}, {"lr": 0.1}])
    FiniteLossHandler(interval).attach(trainer)
    if seen is not None:
        trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: seen.append(engine.state.epoch))
    trainer.run(range(length), max_epochs=len(losses) // length)


@pytest.mark.parametrize(
    ("interval", "value", "step"), [(1, float("nan"), 1), (3, float("inf"), 6), (50, float("-inf"), 9)]
)
def test_the_first_step_without_a_number_is_named_and_its_epoch_not_finished(step, value, interval):
    losses = [1.0] * 10
    losses[step - 1] = value
    losses[step:] = [float("nan")] * (10 - step)
    epoch = (step - 1) // 5
    seen: list[int] = []
    with pytest.raises(InputError, match=rf"{value:g} at step {step} of the run"):
        run_with_losses(losses, interval, seen=seen)
    assert seen == list(range(1, epoch + 1))


def rates_after(
    losses: list[float], validation: list[float] | None, interval: int = 1, patience: int = 1
) -> list[float]:
    """Learning rate after each epoch of a run with these losses."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], 1.0)
    scheduler = ReduceLROnPlateau(optimizer, factor=0.1, patience=patience)
    trainer = Engine(lambda engine, batch: {"loss": torch.tensor(losses[engine.state.epoch - 1] + batch)})
    evaluator = Engine(lambda engine, batch: None)
    evaluator.data_loader = [] if validation is None else [0]

    def validate(engine):
        evaluator.state.epoch, evaluator.state.metrics = (
            engine.state.epoch,
            {"val_loss": validation[engine.state.epoch - 1]},
        )

    if validation is not None:
        trainer.add_event_handler(Events.EPOCH_COMPLETED(every=interval), validate)
    PlateauHandler(scheduler, evaluator).attach(trainer)
    rates = []
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: rates.append(optimizer.param_groups[0]["lr"]))
    trainer.run([-0.5, 0.5], max_epochs=len(losses))
    return rates


def test_the_rate_falls_when_the_validation_loss_does_not():
    falling = [1 / epoch for epoch in range(1, 7)]
    assert rates_after(falling, [1, 0.5, 0.6, 0.7, 0.6, 0.5]) == pytest.approx([1, 1, 1, 0.1, 0.1, 0.01])
    assert rates_after(falling, falling) == [1] * 6


def rates_of(rank: int) -> list[float]:
    # the first process's losses alone would keep the rate; the second's alone would lower it sooner
    return rates_after([[1, 0.5, 0.4, 0.3, 0.2, 0.1], [1, 0.7, 0.9, 1.1, 0.3, 0.5]][rank], None)


def test_two_processes_step_alike_by_the_mean_of_their_training_losses():
    mean = [1, 0.6, 0.65, 0.7, 0.25, 0.3]
    one, other = in_processes(rates_of)
    assert one == other == pytest.approx(rates_after(mean, None)) and one != pytest.approx(rates_of(0))


def last_epoch(losses: list[float], patience: int | None, start: tuple[int, int] = (0, -1)) -> int:
    """The epoch at which a training with these validation losses ends; ``start`` is the current epoch and the best one so
    far.
    """
    evaluator = SimpleNamespace(state=SimpleNamespace(best_metric_epoch=start[1]))
    trainer = Engine(lambda engine, batch: None)
    trainer.state.epoch, trainer.state.iteration = start[0], start[0]
    lowest = [losses[start[1] - 1] if start[1] > 0 else float("inf")]

    @trainer.on(Events.EPOCH_COMPLETED)
    def validate(engine):
        if losses[engine.state.epoch - 1] < lowest[0]:
            lowest[0], evaluator.state.best_metric_epoch = losses[engine.state.epoch - 1], engine.state.epoch

    EarlyStopHandler(evaluator, patience).attach(trainer)
    trainer.state.max_epochs, trainer.state.epoch_length = len(losses), 1
    trainer.run([0], max_epochs=len(losses), epoch_length=1)
    return trainer.state.epoch


@pytest.mark.parametrize(
    ("losses", "patience", "ends"),
    [
        ([5, 4, 3, 2, 1], 2, 5),
        ([5, 4, 4, 4, 1], 2, 4),
        ([5, 4, 4, 3, 4, 4, 4], 2, 6),
        ([5, 4, 4, 4, 4], None, 5),
    ],
)
def test_it_ends_so_many_epochs_after_the_best(losses, patience, ends):
    assert last_epoch(losses, patience) == ends


FEATURES = (2, 4)


def network() -> SliceNet:
    torch.manual_seed(0)
    return SliceNet(ResidualEncoder(FEATURES), ResidualDecoder(FEATURES), num_maps=2, spatial_dims=3)


def states_after(net: SliceNet, optimizer, epochs: int, handler: FrozenEpochsHandler, first: int = 0) -> list[dict]:
    """Two steps per epoch; returns the network's state after each epoch."""
    kept = []

    def step(engine, batch):
        torch.manual_seed(engine.state.epoch * 10 + batch)
        net.train()
        optimizer.zero_grad()
        net(torch.randn(2, 1, 4, 4, 4)).square().mean().backward()
        optimizer.step()

    engine = Engine(step)
    engine.network = net
    handler.attach(engine)
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda _: kept.append(copy.deepcopy(net.state_dict())))
    engine.state.epoch = first
    engine.state.max_epochs = epochs
    for epoch in range(first + 1, epochs + 1):
        engine.state.epoch = epoch
        engine.fire_event(Events.EPOCH_STARTED)
        for batch in range(2):
            step(engine, batch)
        engine.fire_event(Events.EPOCH_COMPLETED)
    return kept


def same(one: dict, other: dict) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_the_optimiser_keeps_what_it_knows():
    """The result equals that of two optimisers. At first, Adam updates only the decoder; later it updates both parts, each
    with its own step count.
    """
    net = network()
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    states_after(net, optimizer, 3, FrozenEpochsHandler(net, 2, "weights.pt"))
    steps = {name: int(optimizer.state[value]["step"]) for name, value in net.named_parameters()}
    assert {steps[name] for name in steps if name.startswith("encoder.")} == {2}
    assert {steps[name] for name in steps if not name.startswith("encoder.")} == {6}

    by_hand = network()
    frozen, free = by_hand.encoder, [*by_hand.decoder.parameters(), *by_hand.head.parameters()]
    of_decoder, of_encoder = torch.optim.Adam(free, 0.01), torch.optim.Adam(frozen.parameters(), 0.01)
    for epoch in range(1, 4):
        for batch in range(2):
            torch.manual_seed(epoch * 10 + batch)
            by_hand.train()
            frozen.train(epoch > 2)
            by_hand.zero_grad()
            by_hand(torch.randn(2, 1, 4, 4, 4)).square().mean().backward()
            of_decoder.step()
            if epoch > 2:
                of_encoder.step()
    assert all(torch.allclose(value, by_hand.state_dict()[name], atol=1e-6) for name, value in net.state_dict().items())


@pytest.mark.parametrize("after", [1, 2])
def test_a_run_that_resumes_is_where_it_was(after):
    def start():
        net = network()
        return net, torch.optim.Adam(net.parameters(), 0.01)

    net, optimizer = start()
    whole = states_after(net, optimizer, 3, FrozenEpochsHandler(net, 2, "weights.pt"))[-1]
    net, optimizer = start()
    states_after(net, optimizer, after, FrozenEpochsHandler(net, 2, "weights.pt"))
    saved = copy.deepcopy(net.state_dict()), copy.deepcopy(optimizer.state_dict())
    net, optimizer = start()
    net.load_state_dict(saved[0])
    optimizer.load_state_dict(saved[1])
    assert same(whole, states_after(net, optimizer, 3, FrozenEpochsHandler(net, 2, "weights.pt"), first=after)[-1])


def test_it_rises_by_half_a_cosine():
    assert momentum_at(0, 100, 0.99) == pytest.approx(0.99)
    assert momentum_at(50, 100, 0.99) == pytest.approx(0.995)
    assert momentum_at(100, 100, 0.99) == 1 == momentum_at(101, 100, 0.99)
    assert momentum_at(25, 100, 0.9) == pytest.approx(1 - 0.1 * (math.cos(math.pi / 4) + 1) / 2)


def test_the_target_follows_after_every_step_and_a_resumed_run_continues():
    def followed(start: int) -> list[float]:
        found: list[float] = []
        engine = Engine(lambda engine, batch: None)
        MomentumHandler(SimpleNamespace(follow=found.append), 0.96).attach(engine)
        engine.state.epoch, engine.state.iteration = start, 3 * start
        engine.state.epoch_length, engine.state.max_epochs = 3, 4
        engine.run(range(3), max_epochs=4, epoch_length=3)
        return found

    whole = followed(0)
    assert whole == pytest.approx([momentum_at(step, 12, 0.96) for step in range(12)])
    assert followed(2) == pytest.approx(whole[6:]), "two of four epochs are left"


def linear(width: int = 3) -> torch.nn.Module:
    return torch.nn.Linear(2, width)


def test_weights_of_a_file_or_a_folder_replace_the_networks_own(tmp_path):
    trained = linear()
    file = tmp_path / "models/model.pt"
    file.parent.mkdir()
    torch.save(trained.state_dict(), file)
    for weights in (str(file), str(tmp_path)):
        own = linear()
        engine = Engine(lambda engine, batch: None)
        WeightsLoader(own, weights).attach(engine)
        assert not torch.equal(own.weight, trained.weight), "the weights load when the run starts, not before"
        engine.run([0])
        assert torch.equal(own.weight, trained.weight) and torch.equal(own.bias, trained.bias)


def test_weights_of_another_network_are_refused_before_the_run(tmp_path):
    torch.save(linear(5).state_dict(), tmp_path / "model.pt")
    with pytest.raises(InputError):
        WeightsLoader(linear(), str(tmp_path / "model.pt"))
    with pytest.raises(InputError):
        WeightsLoader(linear(), str(tmp_path / "absent.pt"))
