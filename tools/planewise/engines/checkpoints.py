"""Take checkpoints, write them in the background, and resume runs from them."""

from __future__ import annotations

import errno
import logging
import math
import time
import warnings
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from torch import nn

from planewise.engines.kernels import fuse
from planewise.engines.plain_errors import stop_during_backward, stop_if_asked
from planewise.errors import InputError
from planewise.files.atomic_write import TEMPORARY, atomic_write
from planewise.files.checksum import sha256
from planewise.networks import not_finite
from planewise.parse_bool import parse_bool

logger = logging.getLogger(__name__)

# only one of these names ends in .pt, because MONAI Label takes the first .pt file of a folder as the model
LAST, BEST = "last.ckpt", "model.pt"
#: The learner of the best epoch, for evaluations that need more than the network.
BEST_LEARNER = "learner.ckpt"
#: The name under which version 0.1 wrote a new `BEST` until `LAST` referred to it.
_NEXT = "model.next"
#: Attributes of schedules for the total number of steps (PyTorch's `OneCycleLR`, MONAI's `WarmupCosineSchedule`).
_LENGTHS = ("total_steps", "t_total")
_START_OVER = "start over with `--resume false`, or name another --output_dir to keep both runs"


@dataclass(frozen=True)
class Snapshot:
    """A run's state at the end of an epoch, on the CPU; its tensors never change."""

    state: dict[str, Any]
    """The contents of ``last.ckpt`` (`read_checkpoint`)"""
    best: dict[str, torch.Tensor] | None = None
    """The network's state dict of the best epoch; None if ``model.pt`` already contains it"""
    best_learner: dict[str, torch.Tensor] | None = None
    copied: torch.cuda.Event | None = None
    """Event recorded after the last copy from a GPU"""


class CheckpointHandler:
    """Keep every epoch's state in memory, write it in the background, and resume from it when the run is started again.

    ``model.pt`` contains only the network's state dict, on the CPU, from the epoch with the best validation metric;
    without validation data, the last epoch counts as the best. ``last.ckpt`` contains what a resumed run needs: network,
    optimiser, learning rate schedule, epoch and best metric so far. Both files are written at most once per
    ``interval``, and always at the end, on an error, on Ctrl-C and on SIGTERM. A run that is killed loses at most one
    interval; if it is killed between the two files, the resumed run writes the same ``model.pt`` again. If weights are not
    finite, the run ends and neither file is written.

    Attach this handler after the handlers that validate and that change the learning rate. On a GPU, it also fuses the
    optimiser's step (`planewise.engines.kernels`). With several processes, the first one writes, and all resume from its
    file.

    Args:
        save_dir: folder of the files.
        network, optimizer, lr_scheduler: objects to save and restore.
        evaluator: the evaluator whose key metric determines the best epoch. If it is None or has no data, the last epoch
            is the best.
        resume: False starts over and removes an earlier run's ``last.ckpt``.
        lr_epoch_level: False if the schedule steps after every batch.
        learner: the trained module, if it contains more than ``network`` (projectors, a momentum network, another task's
            head). It is written to ``last.ckpt`` under ``learner``; ``model.pt`` contains only ``network``.
        loss: the loss, if it may have a state: the persistent buffers of a loss, such as a queue of keys or a centre, are
            written to ``last.ckpt`` under ``loss``.
        best_learner: write the state dict of the best epoch's learner to ``learner.ckpt``, for evaluations that need more
            than the network.
        interval: minimum number of seconds between two writes; 0 writes after every epoch.

    Ignite's `Checkpoint` with its `DiskSaver` neither flushes a file to the disk nor writes it in the background.
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
        learner: nn.Module | None = None,
        loss: nn.Module | None = None,
        best_learner: bool = False,
        interval: float = 60.0,
    ) -> None:
        self.folder = Path(save_dir)
        self.network = network
        self.learner = None if learner is network else learner
        self.loss = loss
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.evaluator = evaluator
        self.resume = parse_bool(resume, "resume")
        self.lr_epoch_level = lr_epoch_level
        self.best_learner = bool(best_learner)
        self.interval = float(interval)
        #: The epoch in ``last.ckpt``; 0 if there is no such file.
        self.written = 0
        self._latest: Snapshot | None = None
        self._best = -1.0, -1  # the best finite metric and its epoch; MONAI starts with these values
        self._best_written: dict[str, torch.Tensor] | None = None
        self._writer = ThreadPoolExecutor(1, "checkpoints")
        self._writing: Future[None] | None = None
        self._written_at = 0.0

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, stop_if_asked)
        stop_during_backward(self.optimizer)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._keep)
        engine.add_event_handler(Events.COMPLETED, self._finish)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._rescue)

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
                f"the processes see different checkpoints in {self.folder} (after epochs {sorted(epochs)}); "
                "set --output_dir to a folder on a disk that all machines share"
            )
        self._latest = None
        self._written_at = time.monotonic()

    def _load(self, engine: Engine, saved: dict[str, Any]) -> None:
        # checkpoints are written after whole epochs
        steps = saved["epoch"] * engine.state.epoch_length
        try:
            self.network.load_state_dict(saved["network"])
            if self.learner is not None:
                self.learner.load_state_dict(saved["learner"])
            if "loss" in saved:
                self.loss.load_state_dict(saved["loss"])
            self.optimizer.load_state_dict(saved["optimizer"])
            if self.lr_scheduler is not None:
                self._load_schedule(saved["lr_scheduler"], saved["epoch"] if self.lr_epoch_level else steps)
        except (RuntimeError, ValueError, LookupError, AttributeError, TypeError) as error:
            raise InputError(
                f"{self.folder / LAST} belongs to a different network or optimizer; {_START_OVER}"
            ) from error
        engine.state.epoch, engine.state.iteration, self.written = saved["epoch"], steps, saved["epoch"]
        if self.evaluator is not None:
            best = self.evaluator.state
            best.best_metric, best.best_metric_epoch = self._best = saved["best_metric"], saved["best_metric_epoch"]
        if saved["epoch"] >= engine.state.max_epochs:
            logger.info(
                "the run is complete: it has trained %d epochs; raise --max_epochs to continue it",
                engine.state.max_epochs,
            )
        else:
            logger.info("resuming after epoch %d of %d", saved["epoch"], engine.state.max_epochs)

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
                f"the weights are not finite after epoch {engine.state.epoch}, so the epoch is not written; start "
                "again with `--resume false` and a smaller --learning_rate, or with --amp false"
            )
        self._latest = self._snapshot(engine)
        if self._writing is not None and self._writing.done():
            self._wait()
        due = time.monotonic() - self._written_at >= self.interval
        if due and (self._writing is None or self.interval == 0):
            self._write_latest()

    def _snapshot(self, engine: Engine) -> Snapshot:
        """Copy the run's state to the CPU. Copies from a GPU are enqueued; this method does not wait for them."""
        epoch = engine.state.epoch
        best_metric, best_epoch = -1.0, -1
        if self.evaluator is not None:
            best = self.evaluator.state
            if not math.isfinite(best.best_metric):
                # MONAI accepts any first value, and no later epoch could be better than NaN or infinity
                logger.warning(
                    "the validation metric is %g in epoch %d; this epoch cannot be the best", best.best_metric, epoch
                )
                best.best_metric, best.best_metric_epoch = self._best
            best_metric, best_epoch = self._best = float(best.best_metric), best.best_metric_epoch
        copies: dict[Any, torch.Tensor] = {}
        parts = {"network": self.network, "optimizer": self.optimizer, "lr_scheduler": self.lr_scheduler}
        parts |= {"learner": self.learner, "loss": self.loss if isinstance(self.loss, nn.Module) else None}
        # a tensor that the network and the learner share is copied and written once
        state: dict[str, Any] = {
            name: _copied(part.state_dict(), copies) for name, part in parts.items() if part is not None
        }
        if not state.get("loss", True):
            del state["loss"]
        state |= {"epoch": epoch, "best_metric": best_metric, "best_metric_epoch": best_epoch}
        copied = None
        if any(value.is_pinned() for value in copies.values()):
            copied = torch.cuda.Event()
            copied.record()
        # the validation handler sets the evaluator's epoch; until it has run, the last epoch counts as the best
        if best_epoch in (-1, epoch):
            return Snapshot(state, state["network"], state.get("learner") if self.best_learner else None, copied)
        before = self._latest or Snapshot({})  # model.pt holds the best epoch before a run resumed
        return Snapshot(state, before.best, before.best_learner, copied)

    def _write_latest(self) -> None:
        """Begin to write the last epoch's state. An error of the previous write is raised here."""
        self._wait()
        if self._latest is not None and self._latest.state["epoch"] != self.written:
            self._writing = self._writer.submit(self._write, self._latest)
            self._written_at = time.monotonic()

    def _write(self, snapshot: Snapshot) -> None:
        if snapshot.copied is not None:
            snapshot.copied.synchronize()
        if snapshot.best is not None and snapshot.best is not self._best_written:
            if snapshot.best_learner is not None:
                _save(snapshot.best_learner, self.folder / BEST_LEARNER)
            _save(snapshot.best, self.folder / BEST)
            self._best_written = snapshot.best
        _save(snapshot.state, self.folder / LAST)
        self.written = snapshot.state["epoch"]

    def _wait(self) -> None:
        """Wait until the current write is complete.

        Raises:
            InputError: the files cannot be written.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _finish(self, engine: Engine) -> None:
        self._write_latest()
        self._wait()
        idist.barrier()  # all processes may read the files next

    def _rescue(self, engine: Engine, error: BaseException) -> None:
        try:
            self._write_latest()
            self._wait()
        except InputError as unwritten:
            logger.error("%s", unwritten)
        if isinstance(error, KeyboardInterrupt):
            error.args = (self._how_to_go_on(),)  # `plain_errors` prints it as the only line
        elif isinstance(error, SystemExit):
            logger.info("%s", self._how_to_go_on())
        raise error

    def _how_to_go_on(self) -> str:
        again = "the same command" + ("" if self.resume else " without `--resume false`")
        if not self.written:
            return "stopped before the end of epoch 1; the same command starts the run again"
        return f"stopped after epoch {self.written}; {again} resumes the run"


def read_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Read ``last.ckpt`` to the CPU, because Adam would wait for the GPU at each step if its count of steps were there.

    Returns:
        A dictionary of the state dicts ``network``, ``optimizer`` and ``lr_scheduler``, ``learner`` if it is more than
        the network, and ``loss`` if the loss has a state; the last ``epoch``; and ``best_metric`` and
        ``best_metric_epoch``. None if there is no such file.

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
    """Fill in the weights that version 0.1 wrote only once: those of the network in ``model.pt``, if the last epoch was the
    best, and those that the learner shares with the network."""
    if saved["network"] is None:
        places = [path for path in (folder / BEST, folder / _NEXT) if path.is_file()]
        weights = next((path for path in places if sha256(path) == saved["model_sha256"]), None)
        if weights is None:
            raise ValueError(
                f"it needs the weights of epoch {saved['epoch']} in {BEST}, which is missing or has changed"
            )
        saved["network"] = torch.load(weights, map_location="cpu", weights_only=True)
    for name, value in saved.get("learner", {}).items():
        saved["learner"][name] = saved["network"][value] if isinstance(value, str) else value
    return saved


def _save(content: Any, path: Path) -> None:
    """Save a file atomically, and flush it to the disk.

    Raises:
        InputError: the file cannot be written.
    """
    with atomic_write(path, flush=True) as part:
        try:
            torch.save(content, part)
        except RuntimeError as error:  # the disk is full
            raise OSError(errno.EIO, f"the file could not be written in full: {str(error).splitlines()[0]}") from error


def _copied(content: Any, copies: dict[Any, torch.Tensor]) -> Any:
    """Copy each tensor in nested dictionaries, lists and tuples to the CPU; a shared tensor is copied once."""
    if isinstance(content, torch.Tensor):
        key = (content.data_ptr(), content.dtype, content.shape, content.stride())
        if key not in copies:
            copy = torch.empty_like(content, device="cpu", pin_memory=content.is_cuda)
            copies[key] = copy.copy_(content.detach(), non_blocking=True)
        return copies[key]
    if isinstance(content, Mapping):
        return {name: _copied(value, copies) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return type(content)(_copied(value, copies) for value in content)
    return content
