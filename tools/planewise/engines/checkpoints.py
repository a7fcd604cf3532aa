"""Take checkpoints, write them in the background, and resume runs from them."""

from __future__ import annotations

import copy
import logging
import math
import time
import warnings
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from torch import nn

from planewise.engines.auxiliary_task_handler import OTHER_TASK
from planewise.engines.checkpoint_files import LAST, CheckpointFiles, Snapshot
from planewise.engines.fused import fuse
from planewise.engines.stop_signals import stop_during_backward, stop_if_asked
from planewise.errors import InputError
from planewise.exams.words import count_of
from planewise.networks import not_finite
from planewise.parse_bool import parse_bool

logger = logging.getLogger(__name__)

#: Attributes of schedules for the total number of steps (PyTorch's `OneCycleLR`, MONAI's `WarmupCosineSchedule`).
_LENGTHS = ("total_steps", "t_total")


class CheckpointHandler:
    """Keep every epoch's state in memory, write it in the background, and resume from it when the run is started again.

    ``model.pt`` contains only the network's state dict, on the CPU, from the epoch with the best validation metric;
    without validation data, the last epoch counts as the best. ``last.ckpt`` contains what a resumed run needs: network,
    optimiser, learning rate schedule, epoch and best metric so far. Both files are written at most once per
    ``interval``, and always at the end, on an error, on Ctrl-C and on SIGTERM. A run that is killed loses at most one
    interval. If weights or moments are not finite, the run ends and neither file is written. A ``model.ts`` in the folder was
    exported from older weights, so it is removed when ``model.pt`` is written.

    Attach this handler after the handlers that validate and that change the learning rate. On a GPU, it also fuses the
    optimiser's step (`planewise.engines.fused`).

    With several processes, the first one writes, and all resume from its file. If the number of processes changes, an
    epoch has another number of steps, and a schedule that steps after every batch is advanced to the matching step.

    With ``best_learner``, the state dict of the best epoch's learner is written to ``learner.ckpt``, for evaluations
    that need more than the network.

    Args:
        save_dir: folder of both files.
        network, optimizer, lr_scheduler: objects to save and restore.
        learner: the trained module, if it contains more than ``network`` (projectors, a momentum network, another task's
            head). It is written to ``last.ckpt`` under ``learner``; ``model.pt`` contains only ``network``.
        loss: the loss, if it may have a state: the persistent buffers of a loss, such as a queue of keys or a centre, are
            written to ``last.ckpt`` under ``loss``.
        evaluator: the evaluator whose key metric determines the best epoch. If it is None or has no data, the last epoch
            is the best.
        resume: False starts over and removes an earlier run's ``last.ckpt``.
        lr_epoch_level: False if the schedule steps after every batch.
        best_learner: write ``learner.ckpt``.
        interval: minimum number of seconds between two writes; 0 writes after every epoch.

    MONAI's `CheckpointSaver` writes neither atomically nor in the background, and its `CheckpointLoader` raises an error
    if there is no file.
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
        if not interval >= 0:
            raise InputError(f"checkpoint_interval must be 0 seconds or more, got {interval}")
        self.files = CheckpointFiles(Path(save_dir))
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
        self._latest: Snapshot | None = None
        self._best = -1.0, -1  # the best finite metric and its epoch; MONAI starts with these values
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
        first = idist.get_rank() == 0
        if first:
            self.files.remove_left_overs()
            if not self.resume:
                self.files.start_over()
        saved = self.files.read() if self.resume else None
        if saved is not None:
            self._load(engine, saved)
        fuse(self.optimizer)
        epochs = set(idist.all_gather(engine.state.epoch))
        if len(epochs) > 1:
            raise InputError(
                f"the processes see different checkpoints in {self.files.folder} (after epochs {sorted(epochs)}); "
                "set --output_dir to a folder on a disk that all machines share"
            )
        self._latest = None
        self._written_at = time.monotonic()
        if first:
            self.files.settle()

    def _load(self, engine: Engine, saved: dict[str, Any]) -> None:
        # checkpoints are written after whole epochs; with another number of processes, an epoch has another number of steps
        steps = saved["epoch"] * engine.state.epoch_length
        try:
            self._load_states(saved, steps)
        except (RuntimeError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
            raise InputError(
                f"{self.files.folder / LAST} belongs to a different network or optimizer, or has been changed; start over "
                "with `--resume false`, or name another --output_dir to keep both runs"
            ) from error
        engine.state.epoch, engine.state.iteration = saved["epoch"], steps
        if self.evaluator is not None:
            best = self.evaluator.state
            best.best_metric, best.best_metric_epoch = self._best = saved["best_metric"], saved["best_metric_epoch"]
        if steps >= engine.state.max_epochs * engine.state.epoch_length:
            logger.info(
                "the run is complete: it has trained %d epochs; raise --max_epochs to continue it",
                engine.state.max_epochs,
            )
        else:
            logger.info("resuming after epoch %d of %d", saved["epoch"], engine.state.max_epochs)

    def _load_states(self, saved: dict[str, Any], steps: int) -> None:
        """Load the state dicts of a checkpoint, and check that they have the structure of this run's own.

        PyTorch checks names and shapes of weights. It copies the states of the optimiser and of the schedule as they are,
        so a wrong type in them would only end the run at a later step.

        Raises:
            ValueError: the structure differs, or a number is not finite. PyTorch also raises errors of other types.
        """
        own = self._optimizer_and_schedule()
        moments = self._expected_moments()
        self.network.load_state_dict(saved["network"])
        if self.learner is not None:
            self.learner.load_state_dict(saved.get("learner", {}))
        if "loss" in saved:
            self.loss.load_state_dict(saved["loss"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.lr_scheduler is not None:
            schedule = saved["lr_scheduler"]
            longer = any(
                length in schedule and schedule[length] != getattr(self.lr_scheduler, length) for length in _LENGTHS
            )
            if not longer and (self.lr_epoch_level or steps == saved["iteration"]):
                self.lr_scheduler.load_state_dict(schedule)
            else:
                self._repeat_schedule(saved["epoch"] if self.lr_epoch_level else steps)
        states = [(state, moments[weight]) for weight, state in self._kept_moments() if state != {}]
        if not_finite(self._trained_state()) or not _fits(
            [self._optimizer_and_schedule(), *(found for found, _ in states)], [own, *(wanted for _, wanted in states)]
        ):
            raise ValueError("the states have another structure than this run's, or numbers that are not finite")

    def _trained_state(self) -> dict[str, torch.Tensor]:
        return (self.network if self.learner is None else self.learner).state_dict()

    def _optimizer_and_schedule(self) -> list[Any]:
        """The settings of the optimiser's parameter groups, and the state of the schedule."""
        groups = self.optimizer.state_dict()["param_groups"]
        return [groups, None if self.lr_scheduler is None else self.lr_scheduler.state_dict()]

    def _expected_moments(self) -> dict[Any, dict[str, Any]]:
        """The state that the optimiser keeps for each weight, found by a step of a copy of the optimiser; empty if a
        copy cannot step."""
        found: dict[Any, dict[str, Any]] = {}
        moments = {}
        for number, group in enumerate(self.optimizer.param_groups):
            for weight in group["params"]:
                kind = number, weight.shape, weight.dtype
                if kind not in found:
                    found[kind] = self._moments_of(weight, group)
                moments[weight] = found[kind]
        return moments

    def _kept_moments(self) -> list[tuple[nn.Parameter, Any]]:
        """Pairs of a weight and a state that the optimiser keeps for it, for the main task or for an auxiliary task."""
        weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        state = self.optimizer.state
        kept = [(weight, state[weight]) for weight in weights if weight in state]
        return kept + [(weights[number], of_task) for number, of_task in state.get(OTHER_TASK, {}).items()]

    def _moments_of(self, weight: nn.Parameter, group: Mapping[str, Any]) -> dict[str, Any]:
        like = nn.Parameter(torch.zeros_like(weight, device="cpu"))
        like.grad = torch.zeros_like(like)
        try:
            optimizer = copy.copy(self.optimizer)
            optimizer.state = defaultdict(dict)
            optimizer.param_groups = [{**group, "params": [like]}]
            optimizer.step()
        except Exception:  # some optimisers cannot be copied, or step only on a GPU
            return {}
        return optimizer.state[like]

    def _repeat_schedule(self, steps: int) -> None:
        """Advance a new schedule by ``steps`` steps. It replaces a saved schedule that does not fit, because the saved run
        was shorter or its epochs had another number of steps."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch warns that the optimiser has not stepped
            for _ in range(steps):
                self.lr_scheduler.step()

    def _keep(self, engine: Engine) -> None:
        if idist.get_rank() > 0:
            return
        self._refuse_weights_that_are_not_finite(engine)
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
        weights = _copied(self.network.state_dict(), copies)
        state = {
            "network": weights,
            "optimizer": _copied(self.optimizer.state_dict(), copies),
            "lr_scheduler": _copied(self.lr_scheduler.state_dict(), copies) if self.lr_scheduler is not None else None,
            "epoch": epoch,
            "iteration": engine.state.iteration,
            "best_metric": best_metric,
            "best_metric_epoch": best_epoch,
        }
        if isinstance(self.loss, nn.Module) and (kept := self.loss.state_dict()):
            state["loss"] = _copied(kept, copies)
        learned = None
        if self.learner is not None:
            learned = _copied(self.learner.state_dict(), copies)
            # tensors that the network also contains are written only once, with the network; here, their names replace them
            names = {id(value): name for name, value in weights.items()}
            state["learner"] = {name: names.get(id(value), value) for name, value in learned.items()}
        copied = None
        if any(value.is_pinned() for value in copies.values()):
            copied = torch.cuda.Event()
            copied.record()
        # the validation handler sets the evaluator's epoch; until it has run, the last epoch counts as the best
        if best_epoch in (-1, epoch):
            return Snapshot(state, epoch, weights, learned if self.best_learner else None, copied)
        if self._latest is None:  # the first snapshot since the run resumed
            return Snapshot(state, copied=copied)
        before = self._latest
        return Snapshot(state, before.best_epoch, before.best, before.best_learner, copied)

    def _refuse_weights_that_are_not_finite(self, engine: Engine) -> None:
        """Raise an error if the square of any weight, or any of the optimiser's moments, is not finite. The loss of the last
        step cannot show this, because it was computed before they changed."""
        values = {name: value.float() ** 2 for name, value in self._trained_state().items()}
        for number, (weight, state) in enumerate(self._kept_moments()):
            # counters of steps stay on the CPU, as do an auxiliary task's moments until its first step after resuming
            there = {name: value for name, value in state.items() if getattr(value, "device", None) == weight.device}
            values |= {f"optimizer.{number}.{name}": value for name, value in there.items()}
        if wrong := not_finite(values):
            what = "the optimiser's moments" if wrong[0].startswith("optimizer.") else "the weights"
            raise InputError(
                f"{what} are too large or not finite after epoch {engine.state.epoch}, so the epoch is not written; start "
                "again with `--resume false` and a smaller --learning_rate, or with --amp false"
            )

    def _write_latest(self) -> None:
        """Begin to write the last epoch's state. An error of the previous write is raised here."""
        self._wait()
        if self._latest is not None and self._latest.epoch != self.files.epoch:
            self._writing = self._writer.submit(self.files.write, self._latest)
            self._written_at = time.monotonic()

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
        if self.files.times_written:
            written = count_of(self.files.times_written, "checkpoint")
            logger.info("%s written, %.1f MB", written, self.files.bytes / 1e6)
            self._report_best()
        idist.barrier()  # all processes may read the files next

    def _report_best(self) -> None:
        """Say which epoch was kept if none was validated, or if the last validation, of a later epoch, gave the same metric,
        0 for example."""
        metric, epoch = self._best
        if epoch == -1:
            logger.info(
                "no epoch was validated, so model.pt has the weights of the last one, epoch %d", self.files.epoch
            )
        if self.evaluator is None:
            return
        # the evaluator's epoch is the last one that was validated, which need not be the last one of the run
        state = self.evaluator.state
        name = getattr(state, "key_metric_name", None)
        if name in state.metrics and state.metrics[name] == metric and epoch < state.epoch:
            logger.warning(
                "epoch %d has the same %s as epoch %d, %g; the weights of epoch %d, the first, are kept as the best",
                *(state.epoch, name, epoch, metric, epoch),
            )

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
        if not self.files.epoch:
            return "stopped before the end of epoch 1; the same command starts the run again"
        return f"stopped after epoch {self.files.epoch}; {again} resumes the run"


def _fits(loaded: Any, own: Any) -> bool:
    """Whether a loaded value has the structure of the run's own value (keys, types and shapes), and only finite numbers."""
    if isinstance(own, torch.Tensor):
        return isinstance(loaded, torch.Tensor) and loaded.shape == own.shape and not not_finite({"": loaded})
    if isinstance(own, Mapping):
        # PyTorch adds missing keys to states of earlier versions, and keeps keys that it no longer uses
        return isinstance(loaded, Mapping) and all(key in loaded and _fits(loaded[key], own[key]) for key in own)
    if isinstance(own, list | tuple):
        return isinstance(loaded, list | tuple) and len(loaded) == len(own) and all(map(_fits, loaded, own))
    if own is None or isinstance(own, bool):  # such as `fused`, which is None until the first step
        return loaded is None or isinstance(loaded, bool)
    if isinstance(own, int):  # such as a length, which is never zero, or a counter, which only grows
        return math.isfinite(loaded) and (type(loaded) is float or (type(loaded) is int and loaded >= min(own, 1)))
    if isinstance(own, float):
        return type(loaded) in (int, float) and (math.isfinite(loaded) or not math.isfinite(own))
    return isinstance(loaded, type(own))


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
