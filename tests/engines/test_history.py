from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events
from planewise.engines import HistoryHandler, read_history
from planewise.losses import Term

from tests.processes import in_processes

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
    HistoryHandler(folder, loss, evaluator).attach(trainer)
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
    HistoryHandler(tmp_path).attach(trainer)
    trainer.run(list(range(4)), max_epochs=2)
    assert [row["learning_rate"] for row in read_history(tmp_path / "history.csv")] == rates


def test_a_resumed_run_keeps_the_epochs_before(tmp_path):
    run(tmp_path)
    before = (tmp_path / "history.csv").read_text()
    run(tmp_path, start=1)
    assert (tmp_path / "history.csv").read_text() == before


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
