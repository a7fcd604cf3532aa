"""Checkpoints: the last one to resume from, the best one to use."""

from __future__ import annotations

import errno
import logging
import math
import warnings
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from torch import nn

from planewise.errors import InputError
from planewise.switches import switched_on
from planewise.whole_files import TEMPORARY, written_whole

logger = logging.getLogger(__name__)

# no second .pt: MONAI Label takes the first of a folder's for the model
LAST, BEST = "last.ckpt", "model.pt"
#: The learner of the best epoch, for evaluations that need more than the network.
BEST_LEARNER = "learner.ckpt"
#: What a package may have beside `BEST`.
SCRIPT = "model.ts"
#: What ``last.ckpt`` holds.
KEPT = frozenset(("network", "optimizer", "lr_scheduler", "epoch", "iteration", "best_metric", "best_metric_epoch"))


class CheckpointHandler:
    """Write ``last.ckpt`` and ``model.pt`` after every epoch, and resume from ``last.ckpt`` when the run is started again.

    ``model.pt`` is the network's state dict alone, on the CPU, of the epoch with the best validation metric; without
    validation data the best epoch is the last. ``last.ckpt`` holds what a resumed run needs: network, optimiser, learning
    rate schedule, epoch and best metric so far. Both are written to a temporary file and moved into place, so that
    neither is ever half written. Weights that are not finite are written to neither, and end the run. Attach it after the
    handlers that validate and that change the learning rate. A ``model.ts`` in the folder, which was exported from other
    weights, is removed when ``model.pt`` is written.

    With several processes, the first one writes and all resume from its file. Their number may change: an epoch then
    has another number of steps, and a schedule that steps after each of them is set to the matching place.

    With ``best_learner`` the best epoch's learner goes into ``learner.ckpt``, its state dict alone, for an evaluation that
    needs what ``model.pt`` leaves out.

    Args:
        save_dir: folder of both files.
        network, optimizer, lr_scheduler: what is saved and restored.
        learner: what is trained, where that is more than ``network`` (projectors, a momentum network, another task's head).
            All of it goes into ``last.ckpt``, under ``learner``; ``model.pt`` holds ``network`` alone.
        evaluator: whose key metric decides; None or one without data makes the last epoch the best.
        resume: False starts over, and takes an earlier run's ``last.ckpt`` away.
        lr_epoch_level: False for a schedule that steps after every batch.
        best_learner: write ``learner.ckpt``.

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
        learner: nn.Module | None = None,
        best_learner: bool = False,
    ) -> None:
        self.folder = Path(save_dir)
        self.network = network
        self.learner = None if learner is network else learner
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.evaluator = evaluator
        self.resume = switched_on(resume, "resume")
        self.lr_epoch_level = lr_epoch_level
        self.best_learner = bool(best_learner)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._save)

    def _start(self, engine: Engine) -> None:
        if idist.get_rank() == 0:
            for left_over in self.folder.glob(f"*{TEMPORARY}"):
                left_over.unlink(missing_ok=True)  # of a run that was killed while it wrote
            if not self.resume:
                # or this run, killed in its first epoch, would resume from what another one left
                (self.folder / LAST).unlink(missing_ok=True)
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
        saved = _read(last)
        try:
            self.network.load_state_dict(saved["network"])
            if self.learner is not None:
                self.learner.load_state_dict(saved.get("learner", {}))
            self.optimizer.load_state_dict(saved["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"{last} is of another network; `--resume false` starts over, another --output_dir keeps both"
            ) from error
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

    def _refuse_weights_that_are_not_finite(self, engine: Engine) -> None:
        """The last step's own loss is of the weights before it."""
        trained = self.network if self.learner is None else self.learner
        values = [value for value in trained.state_dict().values() if value.is_floating_point()]
        if values and not torch.stack([value.isfinite().all() for value in values]).all():
            raise InputError(
                f"the weights are not finite after epoch {engine.state.epoch}, and are not written; start again with "
                "`--resume false` and a smaller --learning_rate, or with --amp false"
            )

    def _save(self, engine: Engine) -> None:
        if idist.get_rank() > 0:
            return
        self._refuse_weights_that_are_not_finite(engine)
        best_metric, best_epoch = -1.0, -1
        if self.evaluator is not None:
            best = self.evaluator.state
            if math.isnan(best.best_metric):
                # MONAI takes the first value whatever it is, and nothing compares with NaN: no later epoch would be better
                logger.warning("the validation's metric is nan in epoch %d, which decides nothing", engine.state.epoch)
                best.best_metric, best.best_metric_epoch = -1.0, -1
            best_metric, best_epoch = float(best.best_metric), best.best_metric_epoch
        weights = _on_cpu(self.network)
        learned = None if self.learner is None else _on_cpu(self.learner)
        # the validation handler stamps the evaluator with the trainer's epoch; until it has run the last is the best
        if best_epoch in (-1, engine.state.epoch):
            _write(weights, self.folder / BEST)
            self._remove_script()
            if self.best_learner:
                _write(learned, self.folder / BEST_LEARNER)
        state = {
            "network": weights,
            "optimizer": self.optimizer.state_dict(),
            "lr_scheduler": self.lr_scheduler.state_dict() if self.lr_scheduler is not None else None,
            "epoch": engine.state.epoch,
            "iteration": engine.state.iteration,
            "best_metric": best_metric,
            "best_metric_epoch": best_epoch,
        }
        if learned is not None:
            state["learner"] = learned
        _write(state, self.folder / LAST)

    def _remove_script(self) -> None:
        """A TorchScript file beside the weights was made from older ones, and a server may take it for the model."""
        script = self.folder / SCRIPT
        if script.exists():
            script.unlink()
            logger.warning(
                "%s was exported from other weights than those written now, and is removed; `python -m monai.bundle "
                "ckpt_export` makes it again",
                SCRIPT,
            )


def _on_cpu(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.cpu() for name, value in network.state_dict().items()}


def _read(path: Path) -> dict[str, Any]:
    """What `CheckpointHandler` wrote into ``last.ckpt``, on the CPU: Adam counts its steps there, or waits for a GPU at each.

    Raises:
        InputError: the file is empty, cut or something else.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        if saved.keys() >= KEPT:
            return saved
        what = "planewise did not write it"
    except Exception:  # torch has an error of another kind for every byte that may be wrong
        what = f"{path.stat().st_size} bytes, less than a whole checkpoint"
    raise InputError(
        f"{path} cannot be read ({what}): the run cannot be resumed; `--resume false` starts over. {BEST} beside it, if it "
        "is there, has the best epoch's weights"
    )


def _write(content: Any, path: Path) -> None:
    with written_whole(path) as part:
        try:
            torch.save(content, part)
        except RuntimeError as error:
            # what torch's own writer makes of a full disk
            raise OSError(errno.EIO, f"not all of it could be written: {str(error).splitlines()[0]}") from error
