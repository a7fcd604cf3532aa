"""Evaluation of the pretexts: tables and pictures from one pass over the slices, and the interface of the collectors, each
of which scores one part of a pretext.

A config names the collectors (`planewise.evaluation.LocationScores`, ...), each with its own settings. The report goes
over the evaluator's batches once. For every collector, it

1. passes each batch (`ScoredBatch`) to `Collector.take`, and keeps the result on the CPU;
2. concatenates the results of all batches along the first dimension after the last batch, and passes them to
  `Collector.results`.

It then writes all `CollectorResults` into one folder. A collector opens no file and keeps no state between calls, so a
test calls the two methods with hand-made tensors and reads numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch
from ignite.engine import Engine
from torch import Tensor

from planewise.data import PhotographDataset, SliceDataset, VolumeDataset
from planewise.evaluation.report import Report
from planewise.preprocessing.limit_slices import evenly_spaced
from planewise.reports.slices import save_picture
from planewise.reports.tables import write_csv

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
        """Select the tensors to keep from a batch.

        Returns:
            Tensors by name, with the same names for every batch. Each has one row per sample (or per example); its other
            dimensions are the same in every batch. Keep numbers rather than maps, because all samples stay in memory until
            the end.
        """

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
            `planewise.evaluation.pretext_report` describes their contract.
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
        results = list(self._results(items))
        identity = {key: [item.get(key, "") for item in items] for key in ("exam", "stack", "slice", "phase")}
        # only a slice has a slice number; a whole volume has none
        of_volumes = isinstance(self.dataset, VolumeDataset) and not any("slice" in item for item in items)
        of_photographs = isinstance(self.dataset, PhotographDataset)
        noun = "photographs" if of_photographs else "volumes" if of_volumes else "slices"
        # the scores of some pretexts draw several samples of each
        counts = {noun: len({*self._index}), "exams": len({item["exam"] for item in items})}
        for name, draw in _together([each.figures for each in results]).items():
            save_picture(self.folder / name, draw, "figure")
        tables = {f"{noun}.csv": _together([identity, *(each.columns for each in results)])}
        for name, columns in _together([tables, *(each.tables for each in results)]).items():
            write_csv(self.folder / name, columns)
        return _together([counts, *(each.metrics for each in results)])

    def _results(self, items: Sequence[Mapping[str, Any]]) -> Iterator[CollectorResults]:
        for collector, taken in zip(self.collectors, self._taken, strict=True):
            rows = {name: torch.cat(values) for name, values in taken.items()}
            yield collector.results(rows, items, self.title)


def _together(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {name: value for part in parts for name, value in part.items()}
