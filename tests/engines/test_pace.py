"""Test what a training's log says about its length, with a clock that moves with the steps."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events
from planewise.engines.pace import Pace


@pytest.fixture
def said(monkeypatch, caplog):
    """A function that trains with steps of the given seconds, and returns the lines of the log."""

    def trained(seconds, epochs=2, steps=4, device="cpu", start=0):
        trainer = Engine(lambda engine, number: None)
        trainer.state.device = torch.device(device)
        pace = Pace()
        trainer.add_event_handler(Events.EPOCH_STARTED(once=start + 1), pace.begin)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, pace.after_step)
        trainer.add_event_handler(
            Events.EPOCH_COMPLETED, lambda engine: pace.left(engine.state.epoch, engine.state.max_epochs)
        )

        def passed():
            done = trainer.state.iteration - start * steps
            return sum((seconds if isinstance(seconds, list) else [seconds] * done)[:done])

        monkeypatch.setattr("planewise.engines.pace.time", SimpleNamespace(monotonic=passed))
        if start:
            trainer.load_state_dict({"epoch": start, "max_epochs": epochs, "epoch_length": steps})
        caplog.clear()
        with caplog.at_level(logging.INFO):
            trainer.run(list(range(steps)), max_epochs=epochs)
        return [record.getMessage() for record in caplog.records if record.name == "planewise.engines.pace"]

    return trained


@pytest.mark.parametrize(
    ("device", "processes", "where"),
    [("cpu", 1, "the CPU"), ("cpu", 2, "the CPU, in 2 processes"), ("cuda:0", 1, "the GPU"), ("cuda", 2, "2 GPUs")],
)
def test_a_training_first_says_what_it_does_and_where(device, processes, where, said, monkeypatch):
    monkeypatch.setattr("planewise.engines.pace.idist.get_world_size", lambda: processes)
    assert said(1, device=device) == [f"training epochs 1 to 2, 4 steps each, on {where}"]
    assert said(1, device=device, start=1) == [f"training epochs 2 to 2, 4 steps each, on {where}"]


@pytest.mark.parametrize(
    ("seconds", "device", "steps", "pace"),
    [
        # after 20 seconds, of which a GPU spends some on its first step
        (15, "cpu", 4, "step 2 of 4: 15.0 s per step, so the training takes another 2 minutes"),
        ([90, *[15] * 7], "cuda", 4, "step 3 of 4: 15.0 s per step, so the training takes another 1 minute"),
        (70, "cpu", 2, "step 1 of 2: 70.0 s per step, so the training takes another 4 minutes"),
        (2, "cpu", 4, None),
        (30, "cpu", 1, None),  # the epoch's own line is next
    ],
)
def test_a_long_first_epoch_tells_once_how_long_the_training_takes(seconds, device, steps, pace, said):
    _, *paces = said(seconds, device=device, steps=steps)
    assert paces == ([f"{pace}, not counting validation"] if pace else [])
