from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine, Events
from planewise.engines import PlateauHandler
from torch.optim.lr_scheduler import ReduceLROnPlateau

from tests.processes import in_processes


def run(losses: list[float], validation: list[float] | None, interval: int = 1, patience: int = 1) -> list[float]:
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
    assert run(falling, [1, 0.5, 0.6, 0.7, 0.6, 0.5]) == pytest.approx([1, 1, 1, 0.1, 0.1, 0.01])
    assert run(falling, falling) == [1] * 6


def test_with_a_patience_of_five_the_sixth_epoch_without_a_gain_lowers_the_rate():
    """PyTorch defines patience as "the number of allowed epochs with no improvement after which ..."."""
    validation = [1.0] + [1.0] * 6 + [0.5] * 2
    assert run([1.0] * 9, validation, patience=5) == pytest.approx([1] * 6 + [0.1] * 3)


def test_without_validation_it_follows_the_training_loss(caplog):
    caplog.set_level("INFO")
    assert run([1, 0.5, 0.6, 0.7, 0.2, 0.1], None) == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1])
    assert "the learning rate follows the training loss" in caplog.text


def test_epochs_that_are_not_validated_do_not_count():
    # validated in epochs 2, 4 and 6: the second and third are no better than the first
    assert run([1] * 6, [9, 0.5, 9, 0.6, 9, 0.7], interval=2) == pytest.approx([1, 1, 1, 1, 1, 0.1])


def test_it_goes_by_the_metric_that_is_named():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)
    trainer, evaluator = (Engine(lambda engine, batch: {"loss": torch.tensor(0.0)}) for _ in range(2))
    evaluator.data_loader = [0]

    @trainer.on(Events.EPOCH_COMPLETED)
    def validate(engine):
        # the loss falls, but the requested metric does not
        evaluator.state.epoch = engine.state.epoch
        evaluator.state.metrics = {"val_loss": 1 / engine.state.epoch, "distance": 1.0}

    PlateauHandler(ReduceLROnPlateau(optimizer, factor=0.1, patience=1), evaluator, "distance").attach(trainer)
    trainer.run([0], max_epochs=3)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1)


def rates_of(rank: int) -> list[float]:
    # the first process's losses alone would keep the rate; the second's alone would lower it sooner
    return run([[1, 0.5, 0.4, 0.3, 0.2, 0.1], [1, 0.7, 0.9, 1.1, 0.3, 0.5]][rank], None)


def test_two_processes_step_alike_by_the_mean_of_their_training_losses():
    mean = [1, 0.6, 0.65, 0.7, 0.25, 0.3]
    one, other = in_processes(rates_of)
    assert one == other == pytest.approx(run(mean, None)) and one != pytest.approx(rates_of(0))
