"""Lower the learning rate when the validation loss stops falling."""

from __future__ import annotations

import logging

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from torch.optim.lr_scheduler import ReduceLROnPlateau

logger = logging.getLogger(__name__)


class PlateauHandler:
    """Step a `ReduceLROnPlateau` with the validation loss after every validated epoch.

    The scheduler's ``patience`` means the same as in PyTorch: with a patience of 5, the learning rate drops after the
    sixth epoch without improvement.

    Without validation data, the handler uses the mean training loss of each epoch, and logs that it does so. The
    training loss usually falls for longer than a validation loss, so the rate drops later. Several processes see the
    same losses, so they take the same steps. Attach this handler to the trainer after the validation and before the
    checkpoints. (MONAI's `LrScheduleHandler` requires a value in every epoch.)

    Args:
        lr_scheduler: the scheduler to step.
        evaluator: the evaluator with the metric, or None; if it has no data, it never runs.
        metric: name of the metric.
    """

    def __init__(self, lr_scheduler: ReduceLROnPlateau, evaluator: Engine | None, metric: str = "val_loss") -> None:
        self.lr_scheduler = lr_scheduler
        self.evaluator = evaluator
        self.metric = metric

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_STARTED, self._reset)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._step)

    def _validates(self) -> bool:
        loader = getattr(self.evaluator, "data_loader", None)
        return loader is not None and len(loader) > 0

    def _start(self, engine: Engine) -> None:
        if not self._validates():
            logger.info("there are no validation exams, so the learning rate follows the training loss")

    def _reset(self, engine: Engine) -> None:
        self._sum = torch.zeros(())

    def _add(self, engine: Engine) -> None:
        loss = engine.state.output["loss"].detach()
        self._sum = self._sum.to(loss.device) + loss

    def _step(self, engine: Engine) -> None:
        if not self._validates():
            steps = engine.state.epoch_length * idist.get_world_size()
            self.lr_scheduler.step(float(idist.all_reduce(self._sum.clone())) / steps)
        elif self.evaluator.state.epoch == engine.state.epoch:
            self.lr_scheduler.step(float(self.evaluator.state.metrics[self.metric]))
