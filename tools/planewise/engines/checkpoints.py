"""Write checkpoints, and resume runs from them."""

from __future__ import annotations

import errno
import logging
import math
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from torch import nn
from torch.utils._pytree import tree_map

from planewise.engines.inferers import fuse
from planewise.errors import InputError
from planewise.files.atomic_write import TEMPORARY, atomic_write
from planewise.files.checksum import sha256
from planewise.networks import not_finite
from planewise.settings import parse_bool

logger = logging.getLogger(__name__)

# only one of these names ends in .pt, because MONAI Label takes the first .pt file of a folder as the model
LAST, BEST = "last.ckpt", "model.pt"
#: The learner of the best epoch, for evaluations that need more than the network.
BEST_LEARNER = "learner.ckpt"
#: Attributes of schedules for the total number of steps (PyTorch's `OneCycleLR`, MONAI's `WarmupCosineSchedule`).
_LENGTHS = ("total_steps", "t_total")
_START_OVER = "start over with `--resume false`, or name another --output_dir to keep both runs"


@dataclass(eq=False, repr=False)
class CheckpointHandler:
    """Write the state of a run after its epochs, and resume from it when the run is started again.

    ``model.pt`` contains only the network's state dict from the epoch with the best validation metric; without validation
    data, the last epoch counts as the best. ``last.ckpt`` contains what a resumed run needs (`read_checkpoint`). Both files
    are written after an epoch, at most once per ``interval``, and at the end. If a run is killed between the two files, the
    resumed run writes the same ``model.pt`` again. If weights are not finite, the run ends and neither file is written.

    Attach this handler after the handlers that validate and that change the learning rate. It also fuses the optimiser's step
    (`fuse`). With several processes, the first one writes, and all resume from its file.

    Args:
        save_dir: folder of the files.
        network, optimizer, lr_scheduler: objects to save and restore.
        evaluator: the evaluator whose key metric determines the best epoch, if it has data.
        resume: False starts over and removes an earlier run's ``last.ckpt``.
        lr_epoch_level: False if the schedule steps after every batch.
        learner: the trained module, if it contains more than ``network``, such as projectors.
        loss: the loss, if it may have a state, such as a queue of keys or a centre.
        best_learner: write the best epoch's learner to ``learner.ckpt``, for evaluations that need more than the network.
        interval: minimum number of seconds between two writes; 0 writes after every epoch.

    Ignite's `Checkpoint` with its `DiskSaver` does not flush a file to the disk, and keeps no best epoch between two writes.
    """

    save_dir: str | Path
    network: nn.Module
    optimizer: torch.optim.Optimizer
    lr_scheduler: Any | None = None
    evaluator: Engine | None = None
    resume: bool | str = True
    lr_epoch_level: bool = True
    learner: nn.Module | None = None
    loss: nn.Module | None = None
    best_learner: bool = False
    interval: float = 60.0

    def __post_init__(self) -> None:
        self.folder = Path(self.save_dir)
        self.learner = None if self.learner is self.network else self.learner
        self.resume = parse_bool(self.resume, "resume")
        #: The epoch in ``last.ckpt``; 0 if there is no such file.
        self.written = 0
        #: The contents of `BEST_LEARNER` and `BEST`, of a best epoch that is not written yet.
        self._unwritten: dict[str, Any] = {}
        self._best = -1.0, -1  # the best finite metric and its epoch; MONAI starts with these values
        self._written_at = 0.0

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._keep)
        engine.add_event_handler(Events.COMPLETED, self._finish)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._explain)

    def _parts(self) -> dict[str, Any]:
        """Everything with a state dict that a resumed run needs, by its name in ``last.ckpt``."""
        parts = {"network": self.network, "optimizer": self.optimizer, "lr_scheduler": self.lr_scheduler}
        parts |= {"learner": self.learner, "loss": self.loss}
        return {name: part for name, part in parts.items() if hasattr(part, "state_dict")}

    def _start(self, engine: Engine) -> None:
        if idist.get_rank() == 0:
            for left_over in self.folder.glob(f"*{TEMPORARY}"):  # of a killed run
                left_over.unlink(missing_ok=True)
            if not self.resume:
                # a run that is killed in its first epoch must not resume from an earlier one
                (self.folder / LAST).unlink(missing_ok=True)
        saved = read_checkpoint(self.folder) if self.resume else None
        if saved is not None:
            self._load(engine, saved)
        fuse(self.optimizer)
        epochs = set(idist.all_gather(engine.state.epoch))
        if len(epochs) > 1:
            raise InputError(
                f"the processes see different checkpoints in {self.folder}; name a folder that all machines share"
            )
        self._unwritten = {}
        self._written_at = time.monotonic()

    def _load(self, engine: Engine, saved: dict[str, Any]) -> None:
        # checkpoints are written after whole epochs
        epoch, steps = saved["epoch"], saved["epoch"] * engine.state.epoch_length
        try:
            for name, part in self._parts().items():
                if name == "lr_scheduler":
                    self._load_schedule(saved[name], epoch if self.lr_epoch_level else steps)
                elif name != "loss" or name in saved:
                    part.load_state_dict(saved[name])
        except (RuntimeError, ValueError, LookupError, AttributeError, TypeError) as error:
            raise InputError(
                f"{self.folder / LAST} belongs to a different network or optimizer; {_START_OVER}"
            ) from error
        engine.state.epoch, engine.state.iteration, self.written = epoch, steps, epoch
        if getattr(self.network, "compiled", False) is None:  # a run of version 0.1 was not compiled
            self.network.compiled = saved.get("compiled", False)
        if self.evaluator is not None:
            best = self.evaluator.state
            best.best_metric, best.best_metric_epoch = self._best = saved["best_metric"], saved["best_metric_epoch"]
        if epoch >= engine.state.max_epochs:
            logger.info("the run is complete: it has trained %d epochs; raise --max_epochs to continue it", epoch)
        else:
            logger.info("resuming after epoch %d of %d", epoch, engine.state.max_epochs)

    def _load_schedule(self, saved: dict[str, Any], steps: int) -> None:
        """Load the state of the schedule, or repeat its steps if the saved run had another number of epochs."""
        schedule = self.lr_scheduler
        if all(saved.get(length) == getattr(schedule, length, None) for length in _LENGTHS):
            schedule.load_state_dict(saved)
            return
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch warns that the optimiser has not stepped
            for _ in range(steps):
                schedule.step()

    def _keep(self, engine: Engine) -> None:
        if idist.get_rank() > 0:
            return
        trained = self.network if self.learner is None else self.learner
        if not_finite(trained.state_dict()):  # the loss of the last step was computed before they changed
            raise InputError(
                f"the weights are not finite after epoch {engine.state.epoch}, which is not written; start again with "
                "`--resume false` and a smaller --learning_rate, or with --amp false"
            )
        self._note_best(engine.state.epoch)
        if time.monotonic() - self._written_at >= self.interval:
            self._write(engine.state.epoch)

    def _note_best(self, epoch: int) -> None:
        """Copy the weights of an epoch that is the best so far."""
        best_epoch = -1
        if self.evaluator is not None:
            best = self.evaluator.state
            if not math.isfinite(best.best_metric):
                # MONAI accepts any first value, and no later epoch could be better than NaN or infinity
                logger.warning("the metric is %g in epoch %d, which cannot be the best", best.best_metric, epoch)
                best.best_metric, best.best_metric_epoch = self._best
            self._best = float(best.best_metric), best.best_metric_epoch
            best_epoch = best.best_metric_epoch
        # the validation handler sets the evaluator's epoch; until it has run, the last epoch counts as the best
        if best_epoch in (-1, epoch):
            parts = {BEST_LEARNER: self.learner if self.best_learner else None, BEST: self.network}
            self._unwritten = _copied({name: part.state_dict() for name, part in parts.items() if part is not None})

    def _write(self, epoch: int) -> None:
        """Write the files of the current state, which is that after an epoch."""
        state = {name: part.state_dict() for name, part in self._parts().items()}
        if not state.get("loss", True):
            del state["loss"]
        state |= {"epoch": epoch, "best_metric": self._best[0], "best_metric_epoch": self._best[1]}
        state["compiled"] = getattr(self.network, "compiled", False)
        for name, content in {**self._unwritten, LAST: state}.items():
            with atomic_write(self.folder / name, flush=True) as part:
                try:
                    torch.save(_copied(content, "cpu"), part)
                except RuntimeError as error:  # the disk is full
                    reason = f"the file could not be written in full: {str(error).splitlines()[0]}"
                    raise OSError(errno.EIO, reason) from error
        self.written, self._written_at, self._unwritten = epoch, time.monotonic(), {}

    def _finish(self, engine: Engine) -> None:
        state = engine.state
        # a handler may end the run within an epoch
        if (
            idist.get_rank() == 0
            and self.written != state.epoch
            and state.iteration == state.epoch * state.epoch_length
        ):
            self._write(state.epoch)
        idist.barrier()  # all processes may read the files next

    def _explain(self, engine: Engine, error: BaseException) -> None:
        again = "the same command" + ("" if self.resume else " without `--resume false`")
        said = f"stopped; {again} resumes the run after epoch {self.written}"
        if not self.written:
            said = "stopped before the first checkpoint; the same command starts the run again"
        if isinstance(error, KeyboardInterrupt):
            error.args = (said,)  # `plain_errors` prints it as the only line
        elif isinstance(error, SystemExit):
            logger.info("%s", said)
        raise error


def read_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Read ``last.ckpt`` to the CPU, because Adam would wait for the GPU at each step if its count of steps were there.

    Returns:
        The state dicts ``network``, ``optimizer`` and ``lr_scheduler``, ``learner`` if it is more than the network, and
        ``loss`` if the loss has a state; the last ``epoch``, ``best_metric`` and ``best_metric_epoch``. None without a file.

    Raises:
        InputError: the file is empty, truncated or not a checkpoint.
    """
    last = folder / LAST
    if not (last.is_file() or last.is_symlink()):
        return None
    try:
        saved = torch.load(last, map_location="cpu", weights_only=True)
        if {"network", "optimizer", "epoch", "best_metric", "best_metric_epoch"} - saved.keys():
            raise ValueError("it has other contents")
        return _of_this_version(saved, folder)
    except Exception as error:  # torch raises a different kind of error for every possible defect
        raise InputError(
            f"{last} cannot be read ({error}), so the run cannot be resumed; `--resume false` starts over. {BEST} next "
            "to it, if present, contains the weights of the best epoch"
        ) from error


def _of_this_version(saved: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Fill in the weights that version 0.1 wrote only once: in ``model.pt``, or as those that the learner shares."""
    if saved["network"] is None:
        best = folder / BEST
        if not best.is_file() or sha256(best) != saved["model_sha256"]:
            raise ValueError(f"it needs the weights of its last epoch in {BEST}, which is missing or has changed")
        saved["network"] = torch.load(best, map_location="cpu", weights_only=True)
    for name, value in saved.get("learner", {}).items():
        saved["learner"][name] = saved["network"][value] if isinstance(value, str) else value
    return saved


def _copied(content: Any, device: str | None = None) -> Any:
    """Copy each tensor in nested dictionaries, lists and tuples (to a device); a shared tensor is copied once."""
    copies: dict[Any, torch.Tensor] = {}

    def copied(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        key = (value.data_ptr(), value.dtype, value.shape, value.stride())
        if key not in copies:
            copies[key] = value.detach().to(device or value.device, copy=True)
        return copies[key]

    return tree_map(copied, content)
