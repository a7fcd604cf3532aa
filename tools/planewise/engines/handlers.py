"""Handlers that act before a run, on its steps or on its epochs."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from monai.handlers import CheckpointLoader
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader

from planewise.data.epoch_sampler import EpochSampler, mixed_seed
from planewise.errors import InputError
from planewise.networks import ByolLearner, weights_path
from planewise.networks.named_parts import NamedParts
from planewise.networks.pretrained import NO_WEIGHTS

logger = logging.getLogger(__name__)


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


class SameBuffersHandler:
    """Copy the first process's buffers to all processes before validation. Attach it to the evaluator.

    `DistributedDataParallel` copies the buffers before each training step. After the last step, the running statistics
    therefore differ (unless batch normalisation is synchronised), and each process would validate with its own. With one
    process, this handler does nothing.

    Args:
        network: the network that is evaluated.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        if dist.is_initialized():
            for buffer in self.network.buffers():
                dist.broadcast(buffer, src=0)


class FiniteLossHandler:
    """Stop a run whose loss has become NaN or infinite, before its weights are validated or written.

    The losses stay on their device, and are checked every ``interval`` steps and at the end of each epoch, because a check
    waits for the GPU (Ignite's `TerminateOnNan` checks every step). Attach this handler to the trainer before the handlers
    that validate and write.

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
        if len(wrong):
            step = engine.state.iteration - len(losses) + int(wrong[0]) + 1
            raise InputError(
                f"the loss is {losses[wrong[0, 0]]:g} at step {step} of the run, in epoch {engine.state.epoch}; no weights "
                "of this epoch are written. Start again with `--resume false` and a smaller --learning_rate, or with --amp "
                "false; if the result is the same, check the images and labels"
            )


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


class EarlyStopHandler:
    """End training if the key metric of the validation has not improved for ``patience`` epochs.

    The handler uses the evaluator's best epoch, which checkpoints store. A resumed run therefore ends at the same epoch
    as an uninterrupted run, and a run that has ended is not trained further. (MONAI's and Ignite's handlers start to
    count again when a run resumes.) Attach it to the trainer after the checkpoints. Without validation data, it does
    nothing.

    Args:
        evaluator: the evaluator, with a key metric.
        patience: number of epochs without improvement after which training ends; with None or 0, it never ends early.
    """

    def __init__(self, evaluator: Engine, patience: int | None) -> None:
        self.evaluator = evaluator
        self.patience = patience

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._look)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._look)

    def _look(self, engine: Engine) -> None:
        best = self.evaluator.state.best_metric_epoch
        if self.patience and best > 0 and engine.state.epoch - best >= self.patience:
            logger.info("no improvement since epoch %d, so training ends after epoch %d", best, engine.state.epoch)
            engine.terminate()


class FrozenEpochsHandler:
    """Keep a pretrained encoder unchanged until the rest of the network has learned to use it (Taleb 2020, appendix A).

    A frozen encoder gets no gradients and keeps its batch statistics (`NamedParts.freeze`), so the optimiser leaves it
    unchanged. When it is released, the optimiser keeps its state for the other parts, and starts with a new state for
    the encoder. In a resumed run, the epoch determines whether it is frozen.

    Args:
        network: network with named parts (`NamedParts`), or any network if nothing is frozen; the optimiser
            contains all its parameters from the start.
        epochs: number of epochs for which the encoder is frozen.
        pretrained: the weights from which the run starts. Without pretrained weights, nothing is frozen, because frozen
            random weights would be useless.

    Raises:
        InputError: the network has no named parts, so no encoder can be frozen. It is raised when the handler is attached.
    """

    def __init__(self, network: nn.Module, epochs: int, pretrained: str | Path | None) -> None:
        self.network = network
        self.epochs = 0 if pretrained in NO_WEIGHTS else int(epochs)

    def attach(self, engine: Engine) -> None:
        if not self.epochs:
            return
        if not isinstance(self.network, NamedParts):
            raise InputError(
                f"frozen_epochs is {self.epochs}, but {type(self.network).__name__} has no encoder that could be frozen; add "
                "--frozen_epochs 0 to train all of it from the first epoch"
            )
        engine.add_event_handler(Events.EPOCH_STARTED, self._epoch)

    def _epoch(self, engine: Engine) -> None:
        frozen = engine.state.epoch <= self.epochs
        if frozen == bool(self.network.frozen):
            return
        if frozen:
            self.network.freeze(("encoder",))
        else:
            self.network.release()
        wrapper = engine.network
        if isinstance(wrapper, DistributedDataParallel):
            # the old wrapper expects a gradient for every parameter that required one when it was created
            engine.network = DistributedDataParallel(wrapper.module, device_ids=wrapper.device_ids)


def momentum_at(step: int, steps: int, start: float) -> float:
    """Momentum after a step of a run (Grill 2020, section 3.3): ``1 - (1 - start) (cos(pi k / K) + 1) / 2``.

    Args:
        step: k, from 0 to K.
        steps: K, the total number of steps of the run.
        start: momentum of the first step; it rises to 1 at the last step.
    """
    return 1 - (1 - start) * (math.cos(math.pi * min(step, steps) / max(1, steps)) + 1) / 2


class MomentumHandler:
    """Update the target network after every step of the optimiser. Attach it to the trainer.

    The momentum depends only on the iteration, so a resumed run continues with the right value.

    Args:
        learner: a learner with a target network (`ByolLearner.follow`).
        start: momentum of the first step; it rises to 1 at the end of the run.
    """

    def __init__(self, learner: ByolLearner, start: float = 0.99) -> None:
        self.learner = learner
        self.start = float(start)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        state = engine.state
        self.learner.follow(momentum_at(state.iteration - 1, state.max_epochs * state.epoch_length, self.start))


class WeightsLoader(CheckpointLoader):
    """MONAI's `CheckpointLoader` for one network, with weights from a file, folder or zip that were trained on any device.

    Args:
        network: the network, whose weights are replaced when the run starts.
        weights: a checkpoint, or the folder or zip of a bundle (`planewise.networks.weights_path`).
        arguments: further arguments of `CheckpointLoader`.

    Raises:
        InputError: there are no such weights, or they belong to another network.
    """

    def __init__(self, network: nn.Module, weights: str, **arguments: Any) -> None:
        # load to the CPU, so that weights saved on a GPU also load on machines without one
        super().__init__(
            str(weights_path(weights, network)), {"model": network}, **{"map_location": "cpu", **arguments}
        )
