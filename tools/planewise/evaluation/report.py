"""The base classes of reports, which collect an evaluator's batches in one pass and then write tables and pictures, and the
record of the weights and exams that scores belong to."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn

from planewise.engines.running_parser import running_parser
from planewise.errors import InputError
from planewise.files.checksum import digest, sha256
from planewise.files.text import read_json
from planewise.metrics import epochs_to_converge
from planewise.networks import weights_path
from planewise.reports.history import read_history
from planewise.reports.main_score import main_score
from planewise.reports.tables import json_text, write_json

logger = logging.getLogger(__name__)


@dataclass(eq=False, repr=False)
class Report:
    """Collect an evaluator's batches; at the end, call `write`, and write the scores that it returns to ``metrics.json``. The
    file ``scored.json`` next to it says which weights and which exams were scored (`write_scored`).

    Args:
        output_dir: folder for the results.
    """

    output_dir: str | Path

    @property
    def folder(self) -> Path:
        """The folder for the results, as a path."""
        return Path(self.output_dir)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._finish)

    def write(self) -> dict[str, Any] | None:
        """Write tables and pictures of all collected batches.

        Returns:
            The contents of ``metrics.json``; None to write no such file.
        """
        raise NotImplementedError

    def _start(self, engine: Engine) -> None:
        raise NotImplementedError

    def _collect(self, engine: Engine) -> None:
        raise NotImplementedError

    def _finish(self, engine: Engine) -> None:
        if engine.state.iteration == 0:  # there was no batch; Ignite 0.4 clears the output at the end
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        scores = self.write()
        if scores is not None:
            write_scored(self.folder, json_text(scores))
            # this file comes last, so that a program that waits for it finds the others
            write_json(self.folder / "metrics.json", scores)
            engine.state.metrics |= {"report": scores}
            main = main_score(scores)
            shown = f"{main.name} {main.value:.3f}; " if main and main.is_known else ""
            logger.info("%sthe scores are in %s/metrics.json, in the output folder", shown, self.folder.name)


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


#: Name of the record, in the folder of ``metrics.json``.
SCORED = "scored.json"


def write_scored(folder: Path, metrics: str) -> None:
    """Write `SCORED` for the running evaluation: the section of the datalist, and the SHA-256 of the datalist, of the weights
    and of the scores.

    Outside a config that evaluates weights, an earlier record is removed instead.

    Args:
        folder: folder of ``metrics.json``.
        metrics: the text of ``metrics.json``.
    """
    file = folder / SCORED
    parser = running_parser()
    if parser is None or any(name not in parser for name in ("section", "datalist", "weights")):
        file.unlink(missing_ok=True)
        return
    section, datalist, weights = (parser.get_parsed_content(name) for name in ("section", "datalist", "weights"))
    record = {
        "section": str(section),
        "datalist": digest(datalist),
        "weights": digest(weights_path(weights)) if weights else None,
        "metrics": hashlib.sha256(metrics.encode()).hexdigest(),
    }
    write_json(file, record)


def read_scored(metrics: Path) -> dict[str, Any] | None:
    """The record of a file of scores; None if there is none, or if it belongs to other scores."""
    try:
        record = read_json(metrics.with_name(SCORED))
    except InputError:
        return None
    if not isinstance(record, dict) or not record.get("weights") or record.get("metrics") != sha256(metrics):
        return None
    return record
