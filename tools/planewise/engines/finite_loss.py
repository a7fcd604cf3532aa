"""Stop a training run whose loss is not finite."""

from __future__ import annotations

import torch
from ignite.engine import Engine, Events

from planewise.errors import InputError


class FiniteLossHandler:
    """Stop a run whose loss has become NaN or infinite, before its weights are validated or written.

    The losses stay on their device, and are checked every ``interval`` steps and at the end of each epoch. With a GPU,
    these checks therefore make the host wait no more often than logging does. Attach this handler to the trainer before
    the handlers that validate and write.

    Args:
        interval: number of steps between two checks.

    Raises:
        InputError: a loss is not finite. The error is raised during the run; it names the first such step and a remedy.
    """

    def __init__(self, interval: int = 50) -> None:
        self.interval = int(interval)
        self._losses: list[torch.Tensor] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self._reset)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._look)

    def _reset(self, engine: Engine) -> None:
        self._losses = []

    def _add(self, engine: Engine) -> None:
        self._losses.append(engine.state.output["loss"].detach())
        if len(self._losses) >= self.interval:
            self._look(engine)

    def _look(self, engine: Engine) -> None:
        if not self._losses:
            return
        losses, self._losses = torch.stack(self._losses).float().cpu(), []
        wrong = (~losses.isfinite()).nonzero()
        if not len(wrong):
            return
        first = int(wrong[0])
        step = engine.state.iteration - len(losses) + first + 1
        within = (step - 1) % engine.state.epoch_length + 1
        rate = max(group["lr"] for group in engine.optimizer.param_groups)
        raise InputError(
            f"the loss is {losses[first]:g} at step {within} of epoch {engine.state.epoch} (step {step} of the "
            f"run), with a learning rate of {rate:g}; no weights of this epoch are written. Start again with "
            "`--resume false` and a smaller --learning_rate, or with --amp false; if the result is the same, "
            "check the images and labels"
        )
