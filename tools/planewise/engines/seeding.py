"""Make random numbers depend only on the seed, the epoch and the iteration."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine, Events
from torch.utils.data import DataLoader

from planewise.data.epoch_sampler import EpochSampler, mixed_seed


def epoch_sampler(loader: DataLoader) -> Any | None:
    """The sampler or batch sampler of a loader, if it needs the epoch number; otherwise None."""
    samplers = (getattr(loader, name, None) for name in ("sampler", "batch_sampler"))
    return next((sampler for sampler in samplers if hasattr(sampler, "set_epoch")), None)


class SeedHandler:
    """Seed torch before every iteration and the sampler before every epoch.

    Random transforms and dropout draw from torch's global generator, so an interrupted and resumed run makes the same
    draws as an uninterrupted one.

    Args:
        seed: seed of the run.
        sampler: sampler of the training data; None if it does not depend on the epoch.
    """

    def __init__(self, seed: int, sampler: EpochSampler | None = None) -> None:
        self.seed = seed
        self.sampler = sampler

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self._epoch)
        engine.add_event_handler(Events.ITERATION_STARTED, self._iteration)

    def _epoch(self, engine: Engine) -> None:
        if self.sampler is not None:
            self.sampler.set_epoch(engine.state.epoch)

    def _iteration(self, engine: Engine) -> None:
        seed = mixed_seed(self.seed, engine.state.iteration)
        if engine.state.device.type == "cpu":
            # torch.manual_seed seeds all devices, which takes a quarter of a millisecond before CUDA has started
            torch.default_generator.manual_seed(seed)
        else:
            torch.manual_seed(seed)
