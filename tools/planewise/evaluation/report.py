"""Reports, which collect an evaluator's batches in one pass and then write tables and pictures, and the record of the weights
and exams that scores belong to.

The report of pretexts passes each batch (`ScoredBatch`) to `Collector.take`, keeps the result on the CPU, and after the last
batch passes the concatenated results to `Collector.results`. A collector opens no file and keeps no state between calls, so a
test calls the two methods with hand-made tensors and reads numbers.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from ignite.engine import Engine, Events
from torch import Tensor

from planewise.data import PhotographDataset, SliceDataset, VolumeDataset
from planewise.engines.start_run import running_parser
from planewise.errors import InputError
from planewise.files.checksum import digest, sha256
from planewise.files.text import read_json
from planewise.networks import weights_path
from planewise.preprocessing.resample import evenly_spaced
from planewise.reports.main_score import main_score
from planewise.reports.slices import save_picture
from planewise.reports.tables import json_text, write_csv, write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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


@dataclass(frozen=True)
class ScoredBatch:
    """One batch of the evaluator with B samples (slices or volumes), on the network's device."""

    image: Tensor
    """The network's input, ``(B, C, ...)``."""
    target: Tensor | Mapping[str, Tensor]
    """The target from the evaluator's ``prepare_batch``; the first dimension of each tensor is B."""
    prediction: Tensor
    """The network's output: maps ``(B, C, ...)``, logits ``(B, classes)`` or embeddings ``(B, D)``."""
    example: Tensor
    """Whether each sample is one of the few examples in every collector's pictures, ``(B,)``, bool."""


@dataclass(frozen=True)
class CollectorResults:
    """The results of one collector. Within a field, no two collectors of a report may use the same name."""

    metrics: dict[str, Any] = field(default_factory=dict)
    """Entries of ``metrics.json``: plain values, NaN for unknown numbers. The first decimal number of an entry is its main
    score (`planewise.reports.main_score`)."""
    columns: dict[str, Sequence[Any]] = field(default_factory=dict)
    """Columns of ``slices.csv``: one value for each sample, in the samples' order. Names end with the unit (``_mm``)."""
    tables: dict[str, dict[str, Sequence[Any]]] = field(default_factory=dict)
    """Maps the file name of a separate table (``planes.csv``) to its columns."""
    figures: dict[str, Callable[[], Figure]] = field(default_factory=dict)
    """Maps a file name (``regression.png``) to a function that draws the picture, which keeps its own resolution. The
    report calls the function, so scores are written even if nothing can be drawn."""


class Collector(Protocol):
    """Scores one part of a network's prediction. See the module's docstring for the order of calls."""

    def take(self, batch: ScoredBatch) -> dict[str, Tensor]:
        """Select the tensors to keep from a batch, by name, with the same names for every batch. Each has one row per
        sample (or per example); its other dimensions are the same in every batch. Keep numbers rather than maps,
        because all samples stay in memory until the end."""

    def results(self, taken: Mapping[str, Tensor], items: Sequence[Mapping[str, Any]], title: str) -> CollectorResults:
        """Compute the scores of all samples.

        Args:
            taken: the concatenated results of `take` for all batches, on the CPU.
            items: items of the datalist, one per sample, in the order of the rows: ``exam`` (a hash), ``stack``, ``slice``,
                ``phase``.
            title: title of the pictures.
        """


@dataclass(eq=False, repr=False)
class PretextReport(Report):
    """Write the results of an evaluator's pass over the slices into a folder.

    - ``metrics.json``: the number of slices (or volumes or photographs) and exams, and the collectors' scores;
    - ``slices.csv`` (``volumes.csv``, ``photographs.csv``): the exam (its hash), stack, slice and phase of each sample,
      and the collectors' columns;
    - the collectors' own tables and pictures.

    The evaluator must not decollate.

    Args:
        output_dir: folder for the results.
        dataset: the evaluator's slices; None takes them from the evaluator.
        collectors: they score the parts of the prediction, and determine the order of columns and scores in the files.
        examples: number of slices in the pictures, evenly spaced over the dataset.
        title: title of the pictures, such as the data's name.
    """

    dataset: SliceDataset | None = None
    collectors: Sequence[Collector] = ()
    examples: int = 8
    title: str = ""

    def _start(self, engine: Engine) -> None:
        if self.dataset is None:
            self.dataset = engine.data_loader.dataset
        self._examples = set(evenly_spaced(len(self.dataset.items), self.examples))
        self._index: list[int] = []
        self._taken: list[dict[str, list[torch.Tensor]]] = [defaultdict(list) for _ in self.collectors]

    def _collect(self, engine: Engine) -> None:
        image, target, prediction = (engine.state.output[key] for key in ("image", "label", "pred"))
        index = engine.state.batch["index"].tolist()
        example = torch.tensor([number in self._examples for number in index], device=image.device)
        batch = ScoredBatch(image, target, prediction.detach(), example)
        for collector, taken in zip(self.collectors, self._taken, strict=True):
            for name, value in collector.take(batch).items():
                taken[name].append(value.cpu())
        self._index += index

    def write(self) -> dict[str, Any]:
        items = [self.dataset.items[index] for index in self._index]
        identity: dict[str, Sequence[Any]] = {
            key: [item.get(key, "") for item in items] for key in ("exam", "stack", "slice", "phase")
        }
        # only a slice has a slice number; a whole volume has none
        of_volumes = isinstance(self.dataset, VolumeDataset) and not any("slice" in item for item in items)
        of_photographs = isinstance(self.dataset, PhotographDataset)
        noun = "photographs" if of_photographs else "volumes" if of_volumes else "slices"
        # the scores of some pretexts draw several samples of each
        scores: dict[str, Any] = {noun: len({*self._index}), "exams": len({item["exam"] for item in items})}
        tables = {}
        for collector, taken in zip(self.collectors, self._taken, strict=True):
            rows = {name: torch.cat(values) for name, values in taken.items()}
            results = collector.results(rows, items, self.title)
            scores |= results.metrics
            identity |= results.columns
            tables |= results.tables
            for name, draw in results.figures.items():
                save_picture(self.folder / name, draw, "figure")
        for name, columns in ({f"{noun}.csv": identity} | tables).items():
            write_csv(self.folder / name, columns)
        return scores


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
