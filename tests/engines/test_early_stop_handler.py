from __future__ import annotations

from types import SimpleNamespace

import pytest
from ignite.engine import Engine, Events
from planewise.engines import EarlyStopHandler


def run(losses: list[float], patience: int | None, start: tuple[int, int] = (0, -1)) -> int:
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
def test_it_ends_so_many_epochs_after_the_best(losses, patience, ends, caplog):
    caplog.set_level("INFO")
    assert run(losses, patience) == ends
    said = f"no improvement since epoch {ends - (patience or 0)}, so training ends after epoch {ends}"
    assert (said in caplog.text) == (ends < len(losses)) == ("no improvement" in caplog.text)


def test_a_resumed_run_ends_where_the_whole_one_does():
    losses = [5, 4, 4, 4, 4, 4]
    assert run(losses, 3) == 5
    assert run(losses, 3, start=(3, 2)) == 5
    assert run(losses, 3, start=(5, 2)) == 5, "a training that has ended does not continue"


def test_without_validation_nothing_ends():
    assert run([float("inf")] * 4, 1) == 4
