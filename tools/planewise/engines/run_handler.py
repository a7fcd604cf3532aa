"""Attach the handlers that all training runs share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine
from monai.engines import Evaluator
from monai.handlers import LrScheduleHandler, TensorBoardStatsHandler, ValidationHandler
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from planewise.engines.checkpoints import CheckpointHandler
from planewise.engines.handlers import FiniteLossHandler, PlateauHandler, SameBuffersHandler, SeedHandler, epoch_sampler
from planewise.engines.history import HistoryHandler
from planewise.errors import InputError
from planewise.files.text import read_json
from planewise.losses import logged_terms
from planewise.reports.tables import write_json

try:
    from ignite.handlers import ProgressBar
except ImportError:  # Ignite 0.4, which MONAI 1.5 pins
    from ignite.contrib.handlers import ProgressBar

#: Seed of every validation. It is constant, so that the scores of different epochs can be compared.
_VALIDATION_SEED = 0


@dataclass(eq=False, repr=False)
class RunHandler:
    """Add seeding, progress, a check for non-finite losses, learning rate, validation, logs and checkpoints to a run.

    The trainer gets, in this order, `SeedHandler`, Ignite's ``ProgressBar``, `FiniteLossHandler`, MONAI's
    ``LrScheduleHandler`` and ``ValidationHandler``, `PlateauHandler` (for a ``ReduceLROnPlateau``, instead of
    ``LrScheduleHandler``), MONAI's ``TensorBoardStatsHandler``, `HistoryHandler` and `CheckpointHandler`. The evaluator
    gets `SeedHandler`, `SameBuffersHandler` and MONAI's ``TensorBoardStatsHandler``.

    In ``train#handlers``, put handlers that act on a step or an epoch before this handler, and handlers that read the
    scores of an epoch after it.

    Args:
        output_dir: the run's folder; ``history.csv`` and ``tensorboard`` are written there.
        ckpt_dir: folder of ``model.pt`` and ``last.ckpt``.
        network: the network whose weights ``model.pt`` contains.
        loss, optimizer: loss and optimiser of the trainer.
        evaluator: the evaluator, which validates every ``val_interval`` epochs unless its dataset is empty. Its key
            metric determines the best epoch.
        lr_scheduler: the schedule of the learning rate. It steps after every epoch if ``lr_epoch_level`` is true,
            otherwise after every batch.
        learner, best_learner: as for `CheckpointHandler`.
        seed: seed of the run.
        resume: False starts over.
        progress: show a progress bar.
        log_interval: number of steps between two points of the training curve in TensorBoard, and between two checks for
            non-finite losses.
        checkpoint_interval: minimum number of seconds between two writes of the checkpoints.
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
        self._check_length(engine)
        validation: list[Any] = [SeedHandler(_VALIDATION_SEED), SameBuffersHandler(self.network)]
        if self.writes:
            self._count_exams(engine)
            validation.append(TensorBoardStatsHandler(log_dir=self._tensorboard, iteration_log=False))
        for handler in validation:
            handler.attach(self.evaluator)
        for handler in self.handlers(engine):
            handler.attach(engine)

    def handlers(self, engine: Engine) -> list[Any]:
        """The handlers for the trainer, in the order in which they are attached."""
        plateau = isinstance(self.lr_scheduler, ReduceLROnPlateau)
        handlers: list[Any] = [SeedHandler(self.seed, epoch_sampler(engine.data_loader))]
        if self.progress:
            handlers.append(ProgressBar())
        handlers.append(FiniteLossHandler(self.log_interval))
        if self.lr_scheduler is not None and not plateau:
            handlers.append(LrScheduleHandler(self.lr_scheduler, print_lr=False, epoch_level=self.lr_epoch_level))
        if len(self.evaluator.data_loader.dataset) > 0:
            handlers.append(ValidationHandler(self.val_interval, self.evaluator, epoch_level=True))
        if plateau:
            handlers.append(PlateauHandler(self.lr_scheduler, self.evaluator))
        if self.writes:
            handlers.append(
                TensorBoardStatsHandler(
                    log_dir=self._tensorboard,
                    iteration_log=self.log_interval,
                    output_transform=lambda output: {"loss": output["loss"], **logged_terms(self.loss)},
                )
            )
        handlers.append(HistoryHandler(self.output_dir, self.loss, self.evaluator))
        handlers.append(
            CheckpointHandler(
                save_dir=self.ckpt_dir,
                network=self.network,
                optimizer=self.optimizer,
                lr_scheduler=self.lr_scheduler,
                evaluator=self.evaluator,
                resume=self.resume,
                lr_epoch_level=self.lr_epoch_level,
                learner=self.learner,
                loss=self.loss,
                best_learner=self.best_learner,
                interval=self.checkpoint_interval,
            )
        )
        return handlers

    def _check_length(self, engine: Engine) -> None:
        """Refuse a cycle that is too short, because PyTorch would end the run at the step after its last one."""
        made = (engine.state.max_epochs or 0) * (1 if self.lr_epoch_level else engine.state.epoch_length or 0)
        if isinstance(self.lr_scheduler, OneCycleLR) and made > self.lr_scheduler.total_steps:
            raise InputError(
                f"OneCycleLR (`lr_scheduler` in the configuration) has {self.lr_scheduler.total_steps} steps, but this run "
                f"makes {made}; set its total_steps: $@max_epochs{'' if self.lr_epoch_level else ' * len(@train#dataloader)'}"
            )

    def _count_exams(self, engine: Engine) -> None:
        """Add the numbers of exams that are used, by section, to ``run.json``. These can be fewer exams than in the datalist,
        for example because some have no label."""
        file = Path(self.output_dir) / "run.json"
        if not file.is_file():
            return
        loaders = {"training": engine.data_loader, "validation": self.evaluator.data_loader}
        items = {name: getattr(getattr(loader, "dataset", None), "items", None) for name, loader in loaders.items()}
        exams = {
            name: len({item.get("exam") or str(item.get("image")) for item in found})
            for name, found in items.items()
            if isinstance(found, list)
        }
        write_json(file, read_json(file) | {"exams": exams})

    @property
    def _tensorboard(self) -> str:
        return str(Path(self.output_dir) / "tensorboard")
