"""Checkpoints: the last one to resume from, the best one to use."""

from __future__ import annotations

import logging
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from torch import nn

from planewise.errors import InputError
from planewise.switches import switched_on

logger = logging.getLogger(__name__)

# no second .pt: MONAI Label takes the first of a folder's for the model
LAST, BEST = "last.ckpt", "model.pt"


class CheckpointHandler:
    """Write ``last.ckpt`` and ``model.pt`` after every epoch, and resume from ``last.ckpt`` when the run is started again.

    ``model.pt`` is the network's state dict alone, on the CPU, of the epoch with the best validation metric; without
    validation data the best epoch is the last. ``last.ckpt`` holds what a resumed run needs: network, optimiser, learning
    rate schedule, epoch and best metric so far. Both are written to a temporary file and moved into place, so that
    neither is ever half written. Attach it after the handlers that validate and that change the learning rate.

    With several processes, the first one writes and all resume from its file. Their number may change: an epoch then
    has another number of steps, and a schedule that steps after each of them is set to the matching place.

    Args:
        save_dir: folder of both files.
        network, optimizer, lr_scheduler: what is saved and restored.
        evaluator: whose key metric decides; None or one without data makes the last epoch the best.
        resume: False starts over.
        lr_epoch_level: False for a schedule that steps after every batch.

    MONAI's `CheckpointSaver` does not write atomically and `CheckpointLoader` needs to be told that there is a file.
    """

    def __init__(
        self,
        save_dir: str | Path,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        lr_scheduler: Any | None = None,
        evaluator: Engine | None = None,
        resume: bool | str = True,
        lr_epoch_level: bool = True,
    ) -> None:
        self.folder = Path(save_dir)
        self.network = network
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.evaluator = evaluator
        self.resume = switched_on(resume, "resume")
        self.lr_epoch_level = lr_epoch_level

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._save)

    def _start(self, engine: Engine) -> None:
        if idist.get_rank() == 0:
            for left_over in self.folder.glob("*.tmp"):
                left_over.unlink(missing_ok=True)  # of a run that was killed while it wrote
        if self.resume and (self.folder / LAST).is_file():
            self._load(engine)
        epochs = set(idist.all_gather(engine.state.epoch))
        if len(epochs) > 1:
            raise InputError(
                f"the processes see different checkpoints in {self.folder} (after epochs {sorted(epochs)}); --output_dir "
                "must be on a disk that all machines share"
            )

    def _load(self, engine: Engine) -> None:
        last = self.folder / LAST
        try:
            saved = torch.load(last, map_location=engine.state.device, weights_only=True)
            self.network.load_state_dict(saved["network"])
        except (RuntimeError, KeyError) as error:
            raise InputError(
                f"{last} is of another network; `--resume false` starts over, another --output_dir keeps both"
            ) from error
        self.optimizer.load_state_dict(saved["optimizer"])
        # checkpoints are of whole epochs; with another number of processes these have another number of steps
        steps = saved["epoch"] * engine.state.epoch_length
        if self.lr_scheduler is not None:
            if self.lr_epoch_level or steps == saved["iteration"]:
                self.lr_scheduler.load_state_dict(saved["lr_scheduler"])
            else:
                self._repeat_schedule(steps)
        engine.state.epoch, engine.state.iteration = saved["epoch"], steps
        if self.evaluator is not None:
            self.evaluator.state.best_metric = saved["best_metric"]
            self.evaluator.state.best_metric_epoch = saved["best_metric_epoch"]
        logger.info("resuming after epoch %d of %d", saved["epoch"], engine.state.max_epochs)

    def _repeat_schedule(self, steps: int) -> None:
        """Advance a new schedule by so many steps, because its saved state counts steps of another length."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the optimiser has not stepped
            for _ in range(steps):
                self.lr_scheduler.step()

    def _save(self, engine: Engine) -> None:
        if idist.get_rank() > 0:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        best_metric, best_epoch = -1.0, -1
        if self.evaluator is not None:
            best_metric = float(self.evaluator.state.best_metric)
            best_epoch = self.evaluator.state.best_metric_epoch
        weights = {name: value.cpu() for name, value in self.network.state_dict().items()}
        # the validation handler stamps the evaluator with the trainer's epoch; until it has run the last is the best
        if best_epoch in (-1, engine.state.epoch):
            _write(weights, self.folder / BEST)
        state = {
            "network": weights,
            "optimizer": self.optimizer.state_dict(),
            "lr_scheduler": self.lr_scheduler.state_dict() if self.lr_scheduler is not None else None,
            "epoch": engine.state.epoch,
            "iteration": engine.state.iteration,
            "best_metric": best_metric,
            "best_metric_epoch": best_epoch,
        }
        _write(state, self.folder / LAST)


def _write(content: Any, path: Path) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        torch.save(content, temporary)
        os.replace(temporary, path)
    except OSError as error:
        size = shutil.disk_usage(path.parent).free
        raise InputError(f"{path} cannot be written ({error.strerror}; {size / 2**20:.0f} MiB free)") from error
    finally:
        temporary.unlink(missing_ok=True)
