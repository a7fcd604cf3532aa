"""Record the losses and scores of every epoch in the log, and in a table for learning curves."""

from __future__ import annotations

import csv
import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events

from planewise.atomic_write import atomic_write, unwritable
from planewise.engines.pace import Pace
from planewise.engines.quiet import log_scores
from planewise.exams.words import count_of, duration
from planewise.losses import logged_terms
from planewise.reports.history import read_history

logger = logging.getLogger(__name__)

#: The line of an epoch has an estimate if at least this number of seconds is left.
_LONG = 300.0


class HistoryHandler:
    """Write ``history.csv``: epoch, learning rate, mean training loss and its terms, training and validation scores.

    The learning rate is that of the epoch's last step; if parameters have different rates, it is the highest. If a schedule
    steps after every epoch, it is the rate of the whole epoch.

    The same numbers are logged in one line per epoch, which also states the time that is left if it is long (`Pace`).
    During the run, MONAI's and Ignite's own lines for them are switched off.

    Attach this handler to the trainer after the validation. The losses are summed on their device, and read once per
    epoch. A row is added to the file after each epoch, and a resumed run keeps the rows up to its checkpoint. With
    several processes, the first one writes the means over all of them.

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
        self._columns: list[str] = []
        self._rate: Any = None
        self._begun = 0.0
        self._pace = Pace()

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._read_anew)
        engine.add_event_handler(Events.EPOCH_STARTED, self._say_what_comes)
        engine.add_event_handler(Events.EPOCH_STARTED, self._reset)
        engine.add_event_handler(Events.ITERATION_STARTED, self._note_rate)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._pace.after_step)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)
        # not on EXCEPTION_RAISED, because Ignite hides a handled exception from the caller
        engine.add_event_handler(Events.COMPLETED, lambda *_: log_scores(True))

    def _read_anew(self, engine: Engine) -> None:
        self._columns = []
        self._begun = 0.0
        log_scores(False)

    def _say_what_comes(self, engine: Engine) -> None:
        if not self._begun and idist.get_rank() == 0:
            self._pace.begin(engine)

    def _reset(self, engine: Engine) -> None:
        self._sums = {}
        self._begun = time.monotonic()

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
        row: dict[str, Any] = {
            "epoch": epoch,
            "learning_rate": float(self._rate),
        }
        row |= means | {name: float(value) for name, value in engine.state.metrics.items()}
        if self.evaluator is not None and self.evaluator.state.epoch == epoch:
            metrics = self.evaluator.state.metrics
            row |= {name: float(value) for name, value in metrics.items() if not isinstance(value, dict)}
        self._log(row, engine.state.max_epochs)
        if self._columns and row.keys() <= set(self._columns):
            try:
                with open(self.path, "a", newline="") as file:
                    csv.DictWriter(file, self._columns).writerow(row)
            except OSError as error:
                raise unwritable(self.path, error) from error
            return
        self._write_anew(row)

    def _log(self, row: Mapping[str, Any], epochs: int) -> None:
        # otherwise a loss with a single term would be logged twice
        same = {term for term in self._sums if term != "train_loss" and row[term] == row["train_loss"]}
        left_out = {"epoch", "learning_rate", *same}
        state = getattr(self.evaluator, "state", None)
        # only this score decides: with it, a loss may be worse than before
        best = (
            getattr(state, "key_metric_name", None)
            if getattr(state, "best_metric_epoch", None) == row["epoch"]
            else None
        )
        scores = ", ".join(
            f"{name} {_shown(name, row)}{f' ({_of_best(self.evaluator)})' if name == best else ''}"
            for name in row
            if name not in left_out
        )
        took, left = time.monotonic() - self._begun, self._pace.left(row["epoch"], epochs)
        ending = f", about {duration(left)} left" if left >= _LONG else ""
        logger.info("epoch %d of %d: %s, %.1f s%s", row["epoch"], epochs, scores, took, ending)

    def _write_anew(self, row: dict[str, Any]) -> None:
        """Rewrite the whole table with new columns."""
        rows = [*(before for before in read_history(self.path) if before["epoch"] < row["epoch"]), row]
        if lost := row["epoch"] - len({before["epoch"] for before in rows}):
            logger.warning("%s lacks %s before epoch %d", self.path.name, count_of(lost, "epoch"), row["epoch"])
        self._columns = list(dict.fromkeys(name for entry in rows for name in entry))
        with atomic_write(self.path) as part, open(part, "w", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(rows)


def _of_best(evaluator: Any) -> str:
    """Why an epoch is the best so far. This states the direction, because another key metric may need the opposite one."""
    better = evaluator.metric_cmp_fn
    if better(0.0, 1.0) and better(1.0, 0.0):  # see SimSiam's train.yaml
        return "latest, which is kept"
    return f"best so far, {'lower' if better(0.0, 1.0) else 'higher'} is better"


def _shown(name: str, row: Mapping[str, Any]) -> str:
    """A score as it appears in the log. `LineErrors` counts a line that was not found as 90 degrees, so that it cannot become
    the best; if it found no line of a view at all, its angle is not a measured one."""
    view, _, kind = name.rpartition("_")
    if kind in ("angle", "distance") and math.isnan(row.get(f"{view}_distance", 0.0)):
        return "no line"
    return "-" if math.isnan(row[name]) else f"{row[name]:.4f}"
