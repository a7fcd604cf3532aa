"""Tell in a training's log what it will do, and how long it takes."""

from __future__ import annotations

import logging
import time

import ignite.distributed as idist
import torch
from ignite.engine import Engine

from planewise.exams.words import count_of, duration

logger = logging.getLogger(__name__)

#: If the first epoch takes longer than this number of seconds, its pace is logged.
_QUIET = 20.0


class Pace:
    """Log the epochs of a training, and estimate the time that is left. No method waits for a GPU."""

    def __init__(self) -> None:
        self._on_cpu = False
        self._begun, self._first = 0.0, 0
        # from this moment on, the steps of the first epoch after this number of steps are timed
        self._timed_from, self._untimed = 0.0, 0
        self._tells_step = False

    def begin(self, engine: Engine) -> None:
        """Before a run's first epoch, log the range of its epochs. In a resumed run, it begins after the checkpoint."""
        state, processes = engine.state, idist.get_world_size()
        device = torch.device(getattr(state, "device", None) or "cpu").type
        where = f"the {'GPU' if device == 'cuda' else device.upper()}"
        if processes > 1:
            where = f"{processes} GPUs" if device == "cuda" else f"{where}, in {processes} processes"
        logger.info(
            "training epochs %d to %d, %s each, on %s",
            *(state.epoch, state.max_epochs, count_of(state.epoch_length, "step")),
            where,
        )
        self._on_cpu = device == "cpu"
        self._begun = self._timed_from = time.monotonic()
        self._first, self._untimed = state.epoch, 0
        self._tells_step = True

    def after_step(self, engine: Engine) -> None:
        """If the first epoch is long, log once how long a step and the rest of the training take."""
        if not self._tells_step:
            return
        state, now = engine.state, time.monotonic()
        done = state.iteration - (state.epoch - 1) * state.epoch_length
        if done == 1 and not self._on_cpu:  # it also compiles kernels, which may take a minute
            self._timed_from, self._untimed = now, 1
            return
        passed = now - self._timed_from
        if passed < _QUIET or done == state.epoch_length:  # the line of the epoch is next
            return
        self._tells_step = False
        step = passed / (done - self._untimed)
        left = step * (state.max_epochs * state.epoch_length - state.iteration)
        logger.info(
            "step %d of %d: %.1f s per step, so the training takes another %s, not counting validation",
            *(done, state.epoch_length, step, duration(left)),
        )

    def left(self, epoch: int, epochs: int) -> float:
        """The seconds that are left after an epoch, judged by all epochs of this process, validation included."""
        self._tells_step = False
        return (time.monotonic() - self._begun) / (epoch - self._first + 1) * (epochs - epoch)
