"""The checkpoint files of a run: the last one to resume from, and the best one to use."""

from __future__ import annotations

import errno
import logging
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from planewise.atomic_write import TEMPORARY, atomic_write
from planewise.checksum import sha256
from planewise.errors import InputError

logger = logging.getLogger(__name__)

# only one of these names ends in .pt, because MONAI Label takes the first .pt file of a folder as the model
LAST, BEST = "last.ckpt", "model.pt"
#: The learner of the best epoch, for evaluations that need more than the network.
BEST_LEARNER = "learner.ckpt"
#: The name of a new `BEST` until `LAST` refers to it.
_NEXT = "model.next"
#: The exported network, which a package may have in addition to `BEST`.
_SCRIPT = "model.ts"
#: The keys that ``last.ckpt`` always has.
_KEPT = frozenset(("network", "optimizer", "lr_scheduler", "epoch", "iteration", "best_metric", "best_metric_epoch"))


def _is_state(saved: dict[str, Any]) -> bool:
    """Whether a file's contents have the keys of ``last.ckpt``, and values of the right types."""
    if not saved.keys() >= _KEPT:
        return False
    counts = [saved[key] for key in ("epoch", "iteration", "best_metric_epoch")]
    states = [state for key in ("network", "lr_scheduler") if (state := saved[key]) is not None]
    states += [saved["optimizer"], saved.get("learner", {}), saved.get("loss", {})]
    return (
        all(type(count) is int for count in counts)
        and min(counts[:2]) >= 0
        and isinstance(saved["best_metric"], (int, float))
        and math.isfinite(saved["best_metric"])
        and all(isinstance(state, dict) for state in states)
    )


@dataclass(frozen=True)
class Snapshot:
    """A run's state at the end of an epoch, on the CPU; its tensors never change."""

    state: dict[str, Any]
    """The contents of ``last.ckpt`` (`CheckpointFiles.read`)"""
    best_epoch: int = 0
    best: dict[str, torch.Tensor] | None = None
    """The network's state dict of the best epoch; None if ``model.pt`` already contains it"""
    best_learner: dict[str, torch.Tensor] | None = None
    copied: torch.cuda.Event | None = None
    """Event recorded after the last copy from a GPU"""

    @property
    def epoch(self) -> int:
        return self.state["epoch"]


class CheckpointFiles:
    """Write one `Snapshot` after another into a folder, so that a run can resume at any moment.

    ``model.pt`` is the state dict of the best epoch. ``last.ckpt`` contains everything that a resumed run needs, and the
    SHA-256 of the ``model.pt`` that belongs to it. If the last epoch is the best, its weights are only in ``model.pt``.
    A new ``model.pt`` is written under another name, and renamed when the new ``last.ckpt`` exists; the SHA-256 in
    ``last.ckpt`` identifies it under both names.

    Args:
        folder: folder of both files; the first write creates it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        #: The epoch in ``last.ckpt``; 0 if there is no such file.
        self.epoch = 0
        #: Number of bytes written, and number of writes.
        self.bytes, self.times_written = 0, 0
        self._best_epoch, self._best_sum = 0, None
        self._best_waits = False

    def write(self, snapshot: Snapshot) -> None:
        """Write the files of a snapshot.

        Raises:
            InputError: the files cannot be written; the earlier files stay intact.
        """
        if snapshot.copied is not None:
            snapshot.copied.synchronize()
        state = dict(snapshot.state)
        new_best = snapshot.best is not None and snapshot.best_epoch != self._best_epoch
        if new_best:
            if snapshot.best_learner is not None:
                self._write(snapshot.best_learner, BEST_LEARNER)
            self._write(snapshot.best, _NEXT)
            self._best_sum = sha256(self.folder / _NEXT)
        state["model_sha256"] = self._best_sum
        if snapshot.best is state["network"]:
            state["network"] = None  # no second copy
        self._write(state, LAST)
        if new_best:
            self._take_next()
            self._best_epoch = snapshot.best_epoch
        self.epoch, self.times_written = snapshot.epoch, self.times_written + 1

    def read(self) -> dict[str, Any] | None:
        """Read ``last.ckpt`` to the CPU, because Adam would wait for the GPU at each step if its count of steps were there.

        Returns:
            A dictionary of the state dicts ``network``, ``optimizer`` and ``lr_scheduler``, ``learner`` if it is more than
            the network, and ``loss`` if the loss has a state; the last ``epoch`` and ``iteration``; and ``best_metric``
            and ``best_metric_epoch``. None if there is no such file.

        Raises:
            InputError: the file is empty, truncated or not a checkpoint, or its weights are missing.
        """
        last = self.folder / LAST
        if not last.is_file():
            if last.is_symlink():
                raise InputError(
                    f"{last} is a link to a file that cannot be reached, so the run cannot be resumed; make that file "
                    "available again, or start over with `--resume false`"
                )
            return None
        try:
            saved = torch.load(last, map_location="cpu", weights_only=True)
            what = None if _is_state(saved) else "planewise did not write it"
        except Exception:  # torch raises a different kind of error for every possible defect
            what = f"{last.stat().st_size} bytes, less than a whole checkpoint"
        if what is not None:
            raise InputError(
                f"{last} cannot be read ({what}), so the run cannot be resumed; `--resume false` starts over. {BEST} next"
                " to it, if present, contains the weights of the best epoch"
            )
        weights = self._find_best(saved.get("model_sha256"))
        if saved["network"] is None:
            if weights is None:
                raise InputError(
                    f"{last} needs the weights of epoch {saved['epoch']} in {BEST}, but that file is missing or has "
                    "changed; put it back, or start over with `--resume false`"
                )
            saved["network"] = torch.load(weights, map_location="cpu", weights_only=True)
        if "learner" in saved:
            saved["learner"] = {
                name: saved["network"].get(value) if isinstance(value, str) else value
                for name, value in saved["learner"].items()
            }
        self.epoch = saved["epoch"]
        return saved

    def remove_left_overs(self) -> None:
        """Remove half-written files of a killed run."""
        for left_over in self.folder.glob(f"*{TEMPORARY}"):
            left_over.unlink(missing_ok=True)

    def start_over(self) -> None:
        """Remove the checkpoint of an earlier run, so that a run killed in its first epoch does not resume from it."""
        for name in (LAST, _NEXT):
            (self.folder / name).unlink(missing_ok=True)

    def settle(self) -> None:
        """Rename the new ``model.pt`` if a run was killed before it did so. Call this after all processes have read the
        files."""
        if self._best_waits:
            self._take_next()
        (self.folder / _NEXT).unlink(missing_ok=True)

    def _find_best(self, wanted: str | None) -> Path | None:
        """Find the weights that belong to ``last.ckpt``. If a run was killed, they may still have their temporary name."""
        for path in (self.folder / BEST, self.folder / _NEXT):
            if wanted is not None and path.is_file() and sha256(path) == wanted:
                self._best_sum, self._best_waits = wanted, path.name == _NEXT
                return path
        return None

    def _take_next(self) -> None:
        os.replace(self.folder / _NEXT, self.folder / BEST)
        self._best_waits = False
        script = self.folder / _SCRIPT
        if script.exists():
            script.unlink()  # it was made from older weights, and a server may load it as the model
            logger.warning(
                "removed %s, because it was exported from older weights; export it again with `python -m monai.bundle "
                "ckpt_export`",
                _SCRIPT,
            )

    def _write(self, content: Any, name: str) -> None:
        with atomic_write(self.folder / name, flush=True) as part:
            try:
                torch.save(content, part)
            except RuntimeError as error:
                # torch raises this error if the disk is full
                raise OSError(
                    errno.EIO, f"the file could not be written in full: {str(error).splitlines()[0]}"
                ) from error
            self.bytes += part.stat().st_size
