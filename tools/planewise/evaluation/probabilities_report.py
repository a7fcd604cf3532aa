"""The base class of reports on whole exams: it collects probabilities in one pass, then writes tables and pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from torch import Tensor

from planewise.metrics import epochs_to_converge
from planewise.reports.history import read_history
from planewise.reports.tables import write_json


class ProbabilitiesReport:
    """Collect an evaluator's probabilities, exam by exam, and let `write` write the results into a folder.

    The evaluator must not decollate. Its batches contain ``index``; its outputs contain logits ``pred`` ``(B, ...)``.

    Args:
        output_dir: folder for the results.
    """

    #: Function from logits to probabilities.
    probabilities_of: Callable[[Tensor], Tensor] = staticmethod(torch.sigmoid)

    def __init__(self, output_dir: str | Path) -> None:
        self.folder = Path(output_dir)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._finish)

    def write(self, probabilities: np.ndarray) -> dict[str, Any] | None:
        """Write tables and pictures of the exams whose indices are in ``self._index``.

        Args:
            probabilities: the probabilities of these exams, in the same order.

        Returns:
            The contents of ``metrics.json``; None to write no such file.
        """
        raise NotImplementedError

    def _start(self, engine: Engine) -> None:
        self._index: list[int] = []
        self._probabilities: list[Tensor] = []

    def _collect(self, engine: Engine) -> None:
        self._index += engine.state.batch["index"].tolist()
        self._probabilities.append(self.probabilities_of(engine.state.output["pred"].float()).cpu())

    def _finish(self, engine: Engine) -> None:
        if not self._index:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        scores = self.write(torch.cat(self._probabilities).numpy())
        if scores is not None:
            # last, so that a program waiting for this file finds the others
            write_json(self.folder / "metrics.json", scores)
            engine.state.metrics |= {"report": scores}


def convergence(history: str | Path | None) -> dict[str, Any]:
    """``epochs``, the number of epochs of a training run, and ``converged_epoch``, from the validation loss
    (`epochs_to_converge`).

    Args:
        history: the run's ``history.csv``; if it is None or has no rows, the result is empty.
    """
    rows = read_history(history) if history is not None else []
    if not rows:
        return {}
    seen = [row for row in rows if "val_loss" in row]
    converged = epochs_to_converge([row["epoch"] for row in seen], [row["val_loss"] for row in seen])
    return {"epochs": rows[-1]["epoch"], "converged_epoch": converged}
