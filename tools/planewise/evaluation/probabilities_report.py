"""The base class of reports on whole exams, which collects the exams' probabilities in one pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from ignite.engine import Engine
from torch import Tensor, nn

from planewise.evaluation.report import Report
from planewise.metrics import epochs_to_converge
from planewise.reports.history import read_history


@dataclass(eq=False, repr=False)
class ProbabilitiesReport(Report):
    """Collect an evaluator's probabilities, exam by exam, for `write`.

    The evaluator must not decollate. Its batches contain ``index``; its outputs contain logits ``pred`` ``(B, ...)``.

    Args:
        output_dir: folder for the results.
        dataset: the evaluator's dataset.
        network: the network, whose saliency is drawn.
    """

    dataset: Any
    network: nn.Module
    #: Function from logits to probabilities.
    probabilities_of: ClassVar[Callable[[Tensor], Tensor]] = staticmethod(torch.sigmoid)

    def _start(self, engine: Engine) -> None:
        self.index: list[int] = []
        self._probabilities: list[Tensor] = []

    def _collect(self, engine: Engine) -> None:
        self.index += engine.state.batch["index"].tolist()
        self._probabilities.append(self.probabilities_of(engine.state.output["pred"].float()).cpu())

    def collected(self) -> np.ndarray:
        """The probabilities of the exams whose indices are in ``self.index``, in the same order."""
        return torch.cat(self._probabilities).numpy()

    def exams(self) -> list[str]:
        """The hashes of these exams."""
        return [self.dataset.items[index]["exam"] for index in self.index]


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
