"""Test when the auxiliary task is trained, and with which batch."""

from __future__ import annotations

from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events
from planewise.engines import AuxiliaryTaskHandler

SEED = 1_000_003


class Numbers:
    """Yields the epoch's number, then its batches 0, 1, 2."""

    def __init__(self) -> None:
        self.sampler = SimpleNamespace(set_epoch=lambda epoch: setattr(self, "epoch", epoch))

    def __len__(self) -> int:
        return 3

    def __iter__(self):
        torch.rand(1)  # a DataLoader draws a number, too
        return iter([(self.epoch, number) for number in range(3)])


def turns(interval: int, start: int = 0, epoch_length: int = 4, epochs: int = 4) -> tuple[list, list[dict]]:
    """The task of each step, with its batch and random number, and the metrics after each epoch."""
    steps, metrics = [], []
    other = Engine(lambda engine, batch: None)
    other.data_loader = Numbers()
    other.state.device = torch.device("cpu")

    def iteration(engine: Engine, batch: tuple) -> dict:
        steps.append(("other", batch, float(torch.rand(1))))
        return {"loss": torch.tensor(float(batch[1]))}

    other._iteration = iteration
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])
    optimizer.param_groups[0]["params"][0].grad = torch.ones(1)
    task = SimpleNamespace(trainer=lambda given: other if given is optimizer else None)
    engine = Engine(lambda engine, batch: steps.append(("own", engine.state.iteration)))
    AuxiliaryTaskHandler(task, optimizer, interval, seed=1).attach(engine)
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: metrics.append(dict(engine.state.metrics)))
    if start:
        engine.load_state_dict({"epoch": start, "max_epochs": epochs, "epoch_length": epoch_length})
    engine.run(range(epoch_length), max_epochs=epochs)
    assert optimizer.param_groups[0]["params"][0].grad is None
    return steps, metrics


def drawn(step: int) -> float:
    return float(torch.rand(1, generator=torch.Generator().manual_seed(SEED + step)))


def test_one_step_before_each_beta_of_the_trainers():
    steps, metrics = turns(interval=3)
    others = {1: (1, 0), 4: (1, 1), 7: (1, 2), 10: (2, 0), 13: (2, 1), 16: (2, 2)}
    expected = []
    for iteration in range(1, 17):
        if iteration in others:
            expected.append(("other", others[iteration], drawn(list(others).index(iteration) + 1)))
        expected.append(("own", iteration))
    assert steps == expected
    # epochs of 4: steps 1 and 4, 7, 10, 13 and 16
    assert metrics == [{"pretext_loss": value} for value in (0.5, 2.0, 0.0, 1.5)]


@pytest.mark.parametrize("start", [1, 2, 3])
def test_a_resumed_run_makes_the_steps_that_were_left(start):
    whole, metrics = turns(interval=3)
    rest, others = turns(interval=3, start=start)
    first = whole.index(("own", 4 * start)) + 1
    assert rest == whole[first:] and others == metrics[start:]


def test_an_epoch_without_the_other_task_has_no_loss_of_it():
    _, metrics = turns(interval=8)
    assert [set(entry) for entry in metrics] == [{"pretext_loss"}, set(), {"pretext_loss"}, set()]


def test_each_task_has_its_own_moments_also_after_a_checkpoint():
    """Steps have the same sizes as if the task were trained alone."""
    weight, alone = torch.nn.Parameter(torch.zeros(2)), [torch.nn.Parameter(torch.zeros(2)) for _ in range(2)]
    adams = [torch.optim.Adam([each], lr=0.1) for each in alone]
    saved = torch.optim.Adam([weight], lr=0.1).state_dict()
    for step in range(6):
        # a new optimiser with the previous one's state, as in a resumed run
        optimizer = torch.optim.Adam([weight], lr=0.1)
        optimizer.load_state_dict(saved)
        handler = AuxiliaryTaskHandler(SimpleNamespace(), optimizer)
        for task, gradient in ((1, 100.0 * step), (0, 1.0)):
            places = weight.detach().clone(), alone[task].detach().clone()
            if task:
                handler._exchange_averages()
            weight.grad, alone[task].grad = (torch.tensor([gradient, -1.0]) for _ in range(2))
            optimizer.step()
            adams[task].step()
            if task:
                handler._exchange_averages()
            assert torch.allclose(weight - places[0], alone[task] - places[1])
        saved = deepcopy(optimizer.state_dict())
