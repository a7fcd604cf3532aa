"""Test the handlers of a run, alone and as a run attaches them."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events
from ignite.metrics import Loss
from planewise.data.samplers import mixed_seed
from planewise.engines import (
    BatchEvaluator,
    BatchTrainer,
    EarlyStopHandler,
    FrozenEpochsHandler,
    HistoryHandler,
    MomentumHandler,
    RunHandler,
    SeedHandler,
    WeightsLoader,
    read_history,
)
from planewise.engines.handlers import momentum_at, share_buffers
from planewise.errors import InputError
from planewise.losses import Term
from planewise.metrics import pred_and_label
from planewise.networks import ResidualDecoder, ResidualEncoder, SliceNet
from safetensors.torch import save_file
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader

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
    evaluator.add_event_handler(Events.STARTED, share_buffers, network)
    # one process validates more samples than the other
    evaluator.run([0] * (rank + 1))
    return evaluator.state.output


def test_the_first_processs_statistics_are_validated_by_all():
    assert [found.tolist() for found in in_processes(mean_that_is_validated)] == [[1, 1], [1, 1]]


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
    [([5, 4, 3, 2, 1], 2, 5), ([5, 4, 4, 4, 1], 2, 4), ([5, 4, 4, 3, 4, 4, 4], 2, 6), ([5, 4, 4, 4, 4], None, 5)],
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
    save_file(trained.state_dict(), tmp_path / "model.safetensors")
    for weights in (str(file), str(tmp_path), str(tmp_path / "model.safetensors")):
        own = linear()
        engine = Engine(lambda engine, batch: None)
        WeightsLoader(own, weights).attach(engine)
        assert not torch.equal(own.weight, trained.weight), "the weights load when the run starts, not before"
        for _ in range(2):
            engine.run([0])
        assert torch.equal(own.weight, trained.weight) and torch.equal(own.bias, trained.bias)
        assert not own.training, "also outside the engine's steps, where postprocessing runs the network"


LOSSES = torch.tensor([[4.0, 3.0, 2.0, 1.0], [0.5, 0.25, 0.5, 0.75]])


def run(
    folder: str | Path, rank: int = 0, processes: int = 1, epochs: int = 2, start: int = 0, validated: int = 2
) -> None:
    """Run epochs whose steps have the losses in LOSSES; several processes share the steps."""
    loss = SimpleNamespace(last_terms=())

    def step(engine, number):
        value = LOSSES[engine.state.epoch - 1, number]
        loss.last_terms = (Term(value / 2, 1, weight=3.0, name="half"), Term(value, 1))
        return {"loss": value}

    trainer = Engine(step)
    trainer.optimizer = SimpleNamespace(param_groups=[{"lr": 0.1}, {"lr": 0.01}])
    evaluator = Engine(lambda engine, batch: None)
    evaluator.state.epoch, evaluator.state.metrics = validated, {"val_loss": 0.5, "report": {}}
    history = HistoryHandler(folder, loss, evaluator)
    history.attach(trainer)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, history.write)
    steps = list(range(rank, 4, processes))
    if start:
        trainer.load_state_dict({"epoch": start, "max_epochs": epochs, "epoch_length": len(steps)})
    trainer.run(steps, max_epochs=epochs)


def test_means_parts_and_scores_in_epochs_that_were_validated(tmp_path):
    run(tmp_path)
    assert read_history(tmp_path / "history.csv") == [
        {"epoch": 1, "learning_rate": 0.1, "train_loss": 2.5, "half": 1.25},
        {"epoch": 2, "learning_rate": 0.1, "train_loss": 0.5, "half": 0.25, "val_loss": 0.5},
    ]


def test_a_resumed_run_keeps_the_epochs_before(tmp_path):
    run(tmp_path)
    before = (tmp_path / "history.csv").read_text()
    run(tmp_path, start=1)
    assert (tmp_path / "history.csv").read_text() == before


@pytest.mark.parametrize(
    ("when", "rates"),
    [(Events.EPOCH_COMPLETED, [0.4, 0.2]), (Events.ITERATION_COMPLETED(every=4), [0.4, 0.2]), (None, [0.4, 0.4])],
)
def test_the_learning_rate_is_the_one_that_the_epoch_used(when, rates, tmp_path):
    trainer = Engine(lambda engine, number: {"loss": LOSSES[0, number]})
    groups = [{"lr": 0.4}, {"lr": 0.1}]
    trainer.optimizer = SimpleNamespace(param_groups=groups)
    if when is not None:  # as MONAI's handler does, which is attached first
        trainer.add_event_handler(when, lambda: groups[0].update(lr=groups[0]["lr"] / 2))
    history = HistoryHandler(tmp_path)
    history.attach(trainer)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, history.write)
    trainer.run(list(range(4)), max_epochs=2)
    assert [row["learning_rate"] for row in read_history(tmp_path / "history.csv")] == rates


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_epoch_whose_loss_is_not_finite_ends_the_run_before_it_is_written(value, tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "LOSSES", torch.tensor([[4.0, 3.0, 2.0, 1.0], [0.5, value, 0.5, 0.75]]))
    with pytest.raises(InputError):
        run(tmp_path)
    assert [row["epoch"] for row in read_history(tmp_path / "history.csv")] == [1]


def write(rank: int, folder: str) -> None:
    run(Path(folder) / str(rank), rank, processes=2)


def test_one_of_two_processes_writes_the_means_over_both(tmp_path):
    in_processes(write, str(tmp_path))
    run(tmp_path / "alone")
    assert not (tmp_path / "1").exists()
    rows = read_history(tmp_path / "0/history.csv")
    assert len(rows) == 2
    for row, expected in zip(rows, read_history(tmp_path / "alone/history.csv"), strict=True):
        assert row == pytest.approx(expected)


class Squares(nn.Module):
    """A loss of one term."""

    last_terms = ()

    def forward(self, pred: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return ((pred - label) ** 2).mean()


def setting(folder, scheduler=StepLR, items: int = 4, **settings) -> SimpleNamespace:
    network = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    schedule = (
        ReduceLROnPlateau(optimizer, patience=0, threshold=9)
        if scheduler is ReduceLROnPlateau
        else StepLR(optimizer, 1, gamma=0.5)
    )
    data = [{"image": torch.ones(1) * k, "label": torch.ones(1)} for k in range(4)]
    drawn: list[float] = []

    def prepare(batch, device=None, non_blocking=False, **_):
        drawn.append(float(torch.rand(1)))
        return batch["image"], batch["label"]

    evaluator = BatchEvaluator(
        device="cpu",
        val_data_loader=DataLoader(data[:items], 2),
        network=network,
        prepare_batch=prepare,
        amp=False,
        key_val_metric={"val_loss": Loss(Squares(), output_transform=pred_and_label)},
    )
    handler = RunHandler(
        output_dir=folder,
        ckpt_dir=folder / "models",
        network=network,
        loss=Squares(),
        optimizer=optimizer,
        evaluator=evaluator,
        lr_scheduler=schedule,
        **settings,
    )
    trainer = BatchTrainer(
        device="cpu",
        max_epochs=2,
        train_data_loader=DataLoader(data, 2),
        network=network,
        optimizer=optimizer,
        loss_function=Squares(),
        train_handlers=[handler],
        amp=False,
    )
    return SimpleNamespace(handler=handler, trainer=trainer, evaluator=evaluator, optimizer=optimizer, drawn=drawn)


@pytest.mark.parametrize(("epoch_level", "rate"), [(True, 0.025), (False, 0.1 / 16)])
def test_a_run_validates_logs_and_writes(tmp_path, epoch_level, rate):
    run = setting(tmp_path, lr_epoch_level=epoch_level, val_interval=1)
    run.trainer.run()
    assert [row["epoch"] for row in read_history(tmp_path / "history.csv")] == [1, 2]
    assert run.evaluator.state.epoch == 2 and run.optimizer.param_groups[0]["lr"] == pytest.approx(rate)
    assert (tmp_path / "models/model.pt").is_file() and (tmp_path / "models/last.ckpt").is_file()
    assert list((tmp_path / "tensorboard").glob("events*"))
    # a pretext with random numbers draws the same ones in each validation
    assert run.drawn[:2] == run.drawn[2:] and run.drawn[0] != run.drawn[1]
    other = setting(tmp_path / "other", seed=1)
    other.trainer.run()
    assert other.drawn == run.drawn, "every run draws the same numbers"


@pytest.mark.parametrize(("items", "interval", "rate"), [(4, 1, 1e-3), (4, 2, 1e-2), (0, 1, 1e-3)])
def test_the_rate_falls_when_the_loss_of_a_validation_or_without_any_of_the_training_does_not(
    items, interval, rate, tmp_path
):
    run = setting(tmp_path, ReduceLROnPlateau, items, val_interval=interval)
    run.trainer.run()
    assert run.optimizer.param_groups[0]["lr"] == pytest.approx(rate)
