"""Record the losses and scores of every epoch in the log, and in a table for learning curves."""

from __future__ import annotations

import csv
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events

from planewise.files.atomic_write import atomic_write
from planewise.losses import logged_terms
from planewise.reports.history import read_history
from planewise.words import duration

logger = logging.getLogger(__name__)


class HistoryHandler:
    """Write ``history.csv``: epoch, learning rate, mean training loss and its terms, training and validation scores.

    The learning rate is that of the epoch's last step; if parameters have different rates, it is the highest. If a schedule
    steps after every epoch, it is the rate of the whole epoch.

    The same numbers are logged in one line per epoch, with the time that is left. "Kept" marks the score of the epoch whose
    weights are in ``model.pt``.

    Attach this handler to the trainer after the validation. The losses are summed on their device, and read once per
    epoch. A resumed run keeps the rows up to its checkpoint. With several processes, the first one writes the means over
    all of them.

    Args:
        output_dir: the run's folder.
        loss: the loss function. Each named term of a `planewise.losses.TermLoss` gets its own column.
        evaluator: the evaluator. Its metrics are written for each epoch in which it ran.
    """

    def __init__(self, output_dir: str | Path, loss: Any = None, evaluator: Engine | None = None) -> None:
        self.path = Path(output_dir) / "history.csv"
        self.loss = loss
        self.evaluator = evaluator
        self._sums: dict[str, torch.Tensor] = {}
        self._rows: list[dict[str, Any]] = []
        self._rate = 0.0
        self._begun, self._before = 0.0, 0

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_STARTED, self._reset)
        engine.add_event_handler(Events.ITERATION_STARTED, self._note_rate)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._begun = 0.0

    def _reset(self, engine: Engine) -> None:
        self._sums = {}
        if not self._begun:  # only now is it known whether the run resumes
            self._begun, self._before = time.monotonic(), engine.state.epoch - 1
            if idist.get_rank() == 0:
                state = engine.state
                logger.info(
                    "training epochs %d to %d, %d steps each", state.epoch, state.max_epochs, state.epoch_length
                )
            self._rows = [row for row in read_history(self.path) if row["epoch"] <= self._before]

    def _note_rate(self, engine: Engine) -> None:
        # before the step, because the schedule changes the rate after it
        self._rate = max(group["lr"] for group in engine.optimizer.param_groups)

    def _add(self, engine: Engine) -> None:
        values = {"train_loss": engine.state.output["loss"].detach(), **logged_terms(self.loss)}
        for name, value in values.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    def _write(self, engine: Engine) -> None:
        steps = engine.state.epoch_length * idist.get_world_size()
        means = {name: float(idist.all_reduce(value.clone())) / steps for name, value in self._sums.items()}
        if idist.get_rank() > 0:
            return
        epoch = engine.state.epoch
        scores = means | {name: float(value) for name, value in engine.state.metrics.items()}
        if self.evaluator is not None and self.evaluator.state.epoch == epoch:
            metrics = self.evaluator.state.metrics
            scores |= {name: float(value) for name, value in metrics.items() if not isinstance(value, dict)}
        self._log(epoch, engine.state.max_epochs, scores)
        self._rows.append({"epoch": epoch, "learning_rate": float(self._rate), **scores})
        with atomic_write(self.path) as part, open(part, "w", newline="") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(name for row in self._rows for name in row)))
            writer.writeheader()
            writer.writerows(self._rows)

    def _log(self, epoch: int, epochs: int, scores: Mapping[str, float]) -> None:
        state = getattr(self.evaluator, "state", None)
        kept = getattr(state, "key_metric_name", None) if getattr(state, "best_metric_epoch", None) == epoch else None
        said = ", ".join(f"{name} {value:.4f}{' (kept)' if name == kept else ''}" for name, value in scores.items())
        left = (time.monotonic() - self._begun) / (epoch - self._before) * (epochs - epoch)
        logger.info("epoch %d of %d: %s%s", epoch, epochs, said, f", {duration(left)} left" if epoch < epochs else "")
