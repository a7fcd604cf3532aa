"""Handlers that act before a run, on its steps or on its epochs, and the one that attaches what all training runs share."""

from __future__ import annotations

import csv
import logging
import math
import shutil
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

import ignite.distributed as idist
import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from monai.engines import Evaluator
from monai.handlers import CheckpointLoader, LrScheduleHandler, TensorBoardStatsHandler, ValidationHandler
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import DataLoader

from planewise.data.samplers import EpochSampler, mixed_seed
from planewise.engines import inferers
from planewise.engines.checkpoints import CheckpointHandler
from planewise.errors import InputError
from planewise.files.atomic_write import atomic_write
from planewise.files.text import read_json
from planewise.losses import logged_terms
from planewise.networks import ByolLearner, weights_of, weights_path
from planewise.networks.named_parts import NamedParts, fold_batch_norm
from planewise.networks.pretrained import NO_WEIGHTS, compile_steps
from planewise.reports.tables import read_history, write_json

try:
    from ignite.handlers import ProgressBar
except ImportError:  # Ignite 0.4, which MONAI 1.5 pins
    from ignite.contrib.handlers import ProgressBar

logger = logging.getLogger(__name__)

#: Seed of every validation. It is constant, so that the scores of different epochs can be compared.
_VALIDATION_SEED = 0
#: Steps after which compiling has paid (on an H100 it takes 31 s, and saves 6.6 of the 24.4 ms of a step: speed.md), and
#: those after which recording CUDA graphs has.
COMPILED, RECORDED = 5000, 100
#: Share of a step in which the processor launches kernels, above which the GPU waits for it; and the share of the GPU's
#: memory that a step may take, because graphs keep memory of their own.
LAUNCHING, MEMORY = 0.9, 0.5


def epoch_sampler(loader: DataLoader) -> Any | None:
    """The sampler or batch sampler of a loader, if it needs the epoch number; otherwise None."""
    samplers = (getattr(loader, name, None) for name in ("sampler", "batch_sampler"))
    return next((sampler for sampler in samplers if hasattr(sampler, "set_epoch")), None)


class SeedHandler:
    """Seed torch before every iteration, and the training data's ``sampler`` before every epoch if it depends on the epoch.

    Random transforms and dropout draw from torch's global generator, so a resumed run makes the same draws.
    """

    def __init__(self, seed: int, sampler: EpochSampler | None = None) -> None:
        self.seed, self.sampler = seed, sampler

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


def share_buffers(engine: Engine, network: nn.Module) -> None:
    """Copy the first process's buffers to all processes, before the evaluator starts: `DistributedDataParallel` copies them
    before each training step, so the running statistics differ after the last step."""
    if dist.is_initialized():
        for buffer in network.buffers():
            dist.broadcast(buffer, src=0)


class HistoryHandler:
    """Write ``history.csv``: epoch, learning rate, mean training loss and its terms, training and validation scores.

    The learning rate is the highest one of the epoch's last step. The same numbers are logged in one line per epoch, in which
    "kept" marks the score of the epoch whose weights are in ``model.pt``.

    Attach this handler before the validation, and `write` after it. A resumed run keeps the rows up to its checkpoint. With
    several processes, the first one writes the means over all of them. A mean that is NaN or infinite ends the run.

    Args:
        output_dir: the run's folder.
        loss: the loss function. Each named term of a `planewise.losses.TermLoss` gets its own column.
        evaluator: the evaluator. Its metrics are written for each epoch in which it ran.

    Raises:
        InputError: the loss of an epoch is not finite. (Ignite's `TerminateOnNan` would wait for the GPU in each step.)
    """

    def __init__(self, output_dir: str | Path, loss: Any = None, evaluator: Engine | None = None) -> None:
        self.path = Path(output_dir) / "history.csv"
        self.loss, self.evaluator = loss, evaluator
        self._sums: dict[str, torch.Tensor] = {}
        self._means: dict[str, float] = {}
        self._rows: list[dict[str, Any]] | None = None
        self._rate = 0.0

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, lambda _: setattr(self, "_rows", None))
        engine.add_event_handler(Events.EPOCH_STARTED, self._reset)
        # before the step, because the schedule changes the rate after it
        highest = lambda: max(group["lr"] for group in engine.optimizer.param_groups)  # noqa: E731
        engine.add_event_handler(Events.ITERATION_STARTED, lambda _: setattr(self, "_rate", highest()))
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._average)

    def _reset(self, engine: Engine) -> None:
        self._sums, state = {}, engine.state
        if self._rows is None:  # only now is it known whether the run resumes
            self._rows = [row for row in read_history(self.path) if row["epoch"] < state.epoch]
            if idist.get_rank() == 0:
                logger.info(
                    "training epochs %d to %d, %d steps each", state.epoch, state.max_epochs, state.epoch_length
                )

    def _add(self, engine: Engine) -> None:
        values = {"train_loss": engine.state.output["loss"].detach(), **logged_terms(self.loss)}
        for name, value in values.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    def _average(self, engine: Engine) -> None:
        steps = engine.state.epoch_length * idist.get_world_size()
        self._means = {name: float(idist.all_reduce(value.clone())) / steps for name, value in self._sums.items()}
        self.train_loss = self._means["train_loss"]
        if not math.isfinite(self.train_loss):
            raise InputError(
                f"the loss is {self.train_loss:g} in epoch {engine.state.epoch}, which is not written; start again with "
                "`--resume false` and a smaller --learning_rate, or with --amp false"
            )

    def write(self, engine: Engine) -> None:
        """Write and log the row of the trainer's last epoch."""
        if idist.get_rank() > 0:
            return
        epoch, kept = engine.state.epoch, None
        scores = self._means | {name: float(value) for name, value in engine.state.metrics.items()}
        if self.evaluator is not None and (validated := self.evaluator.state).epoch == epoch:
            scores |= {name: float(each) for name, each in validated.metrics.items() if not isinstance(each, dict)}
            best = getattr(validated, "best_metric_epoch", None) == epoch
            kept = getattr(validated, "key_metric_name", None) if best else None
        said = ", ".join(f"{name} {value:.4f}{' (kept)' if name == kept else ''}" for name, value in scores.items())
        logger.info("epoch %d of %d: %s", epoch, engine.state.max_epochs, said)
        self._rows.append({"epoch": epoch, "learning_rate": float(self._rate), **scores})
        with atomic_write(self.path) as part, open(part, "w", newline="") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(name for row in self._rows for name in row)))
            writer.writeheader()
            writer.writerows(self._rows)


class EarlyStopHandler:
    """End training if the evaluator's key metric has not improved for ``patience`` epochs; None or 0 never end it early.

    The handler uses the evaluator's best epoch, which checkpoints store, so a resumed run ends at the same epoch as an
    unbroken one. (MONAI's and Ignite's handlers start to count again when a run resumes.) Attach it after the checkpoints.
    """

    def __init__(self, evaluator: Engine, patience: int | None) -> None:
        self.evaluator, self.patience = evaluator, patience

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

    A frozen encoder gets no gradients and keeps its batch statistics (`NamedParts.freeze`). When it is released, the
    optimiser keeps its state for the other parts, and starts with a new state for the encoder. The epoch alone determines
    whether it is frozen, in a resumed run, too.

    Args:
        network: network with named parts (`NamedParts`); the optimiser contains all its parameters from the start.
        epochs: number of epochs for which the encoder is frozen.
        pretrained: the weights from which the run starts; without them, nothing is frozen.

    Raises:
        InputError: the network has no named parts, so no encoder can be frozen.
    """

    def __init__(self, network: nn.Module, epochs: int, pretrained: str | Path | None) -> None:
        self.network = network
        self.epochs = 0 if pretrained in NO_WEIGHTS else int(epochs)

    def attach(self, engine: Engine) -> None:
        if not self.epochs:
            return
        if not isinstance(self.network, NamedParts):
            raise InputError(
                f"{type(self.network).__name__} has no encoder that could be frozen; set --frozen_epochs 0"
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
    """Momentum after step k of K steps (Grill 2020, section 3.3): ``1 - (1 - start) (cos(pi k / K) + 1) / 2``, which rises
    from ``start`` to 1 at the last step."""
    return 1 - (1 - start) * (math.cos(math.pi * min(step, steps) / max(1, steps)) + 1) / 2


class FasterSteps:
    """Make the steps of a training on one GPU faster, if its network was placed with ``auto`` (`place_network`).

    If many steps are left, the network is compiled. The weights then differ by rounding errors, so checkpoints keep the
    decision for resumed runs. Otherwise, if the GPU waits for the processor in the fourth step, the network is replayed as
    CUDA graphs, with the same weights. A network for which this fails runs as it is. Attach this after the checkpoints.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network, self._begun = network, 0.0

    def attach(self, engine: Engine) -> None:
        if hasattr(self.network, "compiled"):
            engine.add_event_handler(Events.STARTED, self._start)

    def _start(self, engine: Engine) -> None:
        state = engine.state
        if state.device.type not in inferers.KINDS or idist.get_world_size() > 1:
            return
        steps = state.max_epochs * state.epoch_length - state.iteration
        if self.network.compiled is None:
            compiler = find_spec("triton") is not None and any(map(shutil.which, ("gcc", "clang", "cc")))
            self.network.compiled = compiler and steps >= COMPILED
        if self.network.compiled:
            logger.info("the network is compiled for the %d steps that are left; the first one takes longer", steps)
            compile_steps(self.network)
        elif engine.network is self.network and steps >= RECORDED:
            timed = state.iteration + 4  # in the first steps, CUDA's libraries start
            engine.add_event_handler(Events.ITERATION_STARTED(once=timed), self._begin)
            engine.add_event_handler(Events.ITERATION_COMPLETED(once=timed), self._end)

    def _begin(self, engine: Engine) -> None:
        torch.cuda.synchronize(engine.state.device)
        self._begun = perf_counter()

    def _end(self, engine: Engine) -> None:
        device, launched = engine.state.device, perf_counter() - self._begun
        torch.cuda.synchronize(device)
        launching = launched / (perf_counter() - self._begun)
        memory = torch.cuda.max_memory_allocated(device) / torch.cuda.get_device_properties(device).total_memory
        if launching >= LAUNCHING and memory <= MEMORY:
            logger.info("the GPU waits for the processor, so CUDA graphs of the network are used")
            self.network.cuda_graphs = "auto"


class MomentumHandler:
    """Update a learner's target network (`ByolLearner.follow`) after every step of the optimiser, with a momentum that rises
    from ``start`` to 1 (`momentum_at`). It depends only on the iteration, so a resumed run continues with the right value.
    """

    def __init__(self, learner: ByolLearner, start: float = 0.99) -> None:
        self.learner, self.start = learner, float(start)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        state = engine.state
        self.learner.follow(momentum_at(state.iteration - 1, state.max_epochs * state.epoch_length, self.start))


class WeightsLoader(CheckpointLoader):
    """MONAI's `CheckpointLoader` for one network, whose weights are replaced when the first run starts. The network is then
    for inference alone (`fold_batch_norm`).

    Args:
        network: the network.
        weights: a checkpoint, or the folder of a run or a bundle, trained on any device
            (`planewise.networks.weights_path`).
        arguments: further arguments of `CheckpointLoader`.

    Raises:
        InputError: there are no such weights, or they belong to another network.
    """

    def __init__(self, network: nn.Module, weights: str, **arguments: Any) -> None:
        super().__init__(weights_path(weights), {"model": network}, **arguments)
        self.network, self.weights = network, weights_of(network, weights)

    def __call__(self, engine: Engine) -> None:
        if self.weights:
            self.network.load_state_dict(self.weights)
            fold_batch_norm(self.network)
            self.weights = {}
        # MONAI's words, of which `keep_quiet` removes the path
        self.logger.info(f"Restored all variables from {self.load_path}")


@dataclass(eq=False, repr=False)
class RunHandler:
    """Add seeding, progress, a check of the loss, learning rate, validation, logs and checkpoints to a run. Handlers that
    read the scores of an epoch come after this handler, others before it.

    Args:
        output_dir: the run's folder, for ``history.csv`` and ``tensorboard``.
        ckpt_dir, network, optimizer, loss, learner, best_learner, resume, checkpoint_interval: as for `CheckpointHandler`.
        evaluator: validates every ``val_interval`` epochs unless it has no data; its key metric determines the best epoch.
        lr_scheduler: the schedule, which steps after every epoch if ``lr_epoch_level`` is true, else after every batch; a
            ``ReduceLROnPlateau`` after every validation or, without validation data, by the training loss.
        seed: seed of the run.
        progress: show a progress bar.
        log_interval: number of steps between two points of TensorBoard's curve.
        writes: whether this process writes logs; with several processes, only the first one does.
    """

    output_dir: str | Path
    ckpt_dir: str | Path
    network: nn.Module
    loss: nn.Module
    optimizer: torch.optim.Optimizer
    evaluator: Evaluator
    lr_scheduler: Any | None = None
    lr_epoch_level: bool = True
    val_interval: int = 1
    learner: nn.Module | None = None
    best_learner: bool = False
    seed: int = 0
    resume: bool | str = True
    progress: bool = False
    log_interval: int = 50
    checkpoint_interval: float = 60.0
    writes: bool = True

    def attach(self, engine: Engine) -> None:
        if self.writes:
            self._count_exams(engine)
        SeedHandler(_VALIDATION_SEED).attach(self.evaluator)
        self.evaluator.add_event_handler(Events.STARTED, share_buffers, self.network)
        SeedHandler(self.seed, epoch_sampler(engine.data_loader)).attach(engine)
        if self.progress:
            ProgressBar().attach(engine)
        history = HistoryHandler(self.output_dir, self.loss, self.evaluator)
        history.attach(engine)
        validates = len(self.evaluator.data_loader.dataset) > 0
        if isinstance(self.lr_scheduler, ReduceLROnPlateau):
            loss = (
                (lambda evaluator: evaluator.state.metrics["val_loss"]) if validates else lambda _: history.train_loss
            )
            schedule = LrScheduleHandler(self.lr_scheduler, print_lr=False, step_transform=loss)
            schedule.attach(self.evaluator if validates else engine)
        elif self.lr_scheduler is not None:
            LrScheduleHandler(self.lr_scheduler, print_lr=False, epoch_level=self.lr_epoch_level).attach(engine)
        if validates:
            ValidationHandler(self.val_interval, self.evaluator, epoch_level=True).attach(engine)
        engine.add_event_handler(Events.EPOCH_COMPLETED, history.write)
        if self.writes:
            folder = str(Path(self.output_dir) / "tensorboard")
            TensorBoardStatsHandler(log_dir=folder, iteration_log=False).attach(self.evaluator)
            logged = lambda output: {"loss": output["loss"], **logged_terms(self.loss)}  # noqa: E731
            TensorBoardStatsHandler(log_dir=folder, iteration_log=self.log_interval, output_transform=logged).attach(
                engine
            )
        shared = {each.name: getattr(self, each.name) for each in fields(CheckpointHandler) if hasattr(self, each.name)}
        CheckpointHandler(self.ckpt_dir, interval=self.checkpoint_interval, **shared).attach(engine)
        FasterSteps(self.network).attach(engine)

    def _count_exams(self, engine: Engine) -> None:
        """Add the numbers of exams that are used, by section, to ``run.json``; some of the datalist may have no label."""
        file, exams = Path(self.output_dir) / "run.json", {}
        for section, loader in {"training": engine.data_loader, "validation": self.evaluator.data_loader}.items():
            items = getattr(getattr(loader, "dataset", None), "items", None)
            if isinstance(items, list):
                exams[section] = len({item.get("exam") or str(item.get("image")) for item in items})
        if file.is_file():
            write_json(file, read_json(file) | {"exams": exams})
