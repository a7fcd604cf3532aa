from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events
from planewise.engines import FiniteLossHandler
from planewise.errors import InputError


def run(losses: list[float], interval: int, length: int = 5, seen: list[int] | None = None) -> None:
    """Run steps with these losses; ``seen`` collects the epochs after which a checkpoint would be written."""
    trainer = Engine(lambda engine, number: {"loss": torch.tensor(losses[engine.state.iteration - 1])})
    trainer.optimizer = SimpleNamespace(param_groups=[{"lr": 10.0}, {"lr": 0.1}])
    FiniteLossHandler(interval).attach(trainer)
    if seen is not None:
        trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: seen.append(engine.state.epoch))
    trainer.run(range(length), max_epochs=len(losses) // length)


@pytest.mark.parametrize("interval", [1, 2, 3, 50])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("step", [1, 5, 6, 9, 10])
def test_the_first_step_without_a_number_is_named_and_its_epoch_not_finished(step, value, interval):
    losses = [1.0] * 10
    losses[step - 1] = value
    losses[step:] = [float("nan")] * (10 - step)
    epoch, within = divmod(step - 1, 5)
    said = (
        rf"the loss is {value:g} at step {within + 1} of epoch {epoch + 1} \(step {step} of the run\), .* rate of 10;"
    )
    seen: list[int] = []
    with pytest.raises(InputError, match=said + ".*`--resume false` and a smaller --learning_rate"):
        run(losses, interval, seen=seen)
    assert seen == list(range(1, epoch + 1))


def test_a_loss_that_is_a_number_again_was_none_before():
    with pytest.raises(InputError, match="at step 2 of epoch 1"):
        run([1.0, float("inf"), 1.0, 1.0, 1.0], 50)


def test_numbers_pass(monkeypatch):
    run([1e30, -1.0, 0.0, 1.0, 2.0] * 2, 3)


def test_the_host_waits_as_often_as_the_log_does(monkeypatch):
    """One copy for each interval of steps, and one at the end of an epoch."""
    copies = []
    monkeypatch.setattr(torch, "stack", lambda values, stack=torch.stack: copies.append(len(values)) or stack(values))
    run([1.0] * 10, 3)
    assert copies == [3, 2, 3, 2]
