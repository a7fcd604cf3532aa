"""Evaluation of the pretexts: tables and pictures from one pass over the slices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from ignite.engine import Engine

from planewise.data import PhotographDataset, SliceDataset, VolumeDataset
from planewise.data.datalist import rows_by_exam
from planewise.errors import InputError
from planewise.evaluation.collector import Collector, CollectorResults, ScoredBatch
from planewise.evaluation.only_a_picture import only_a_picture
from planewise.evaluation.report import Report
from planewise.reports.tables import write_csv


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
            `planewise.evaluation.collector` describes their contract.
        examples: number of slices in the pictures.
        title: title of the pictures, such as the data's name.
    """

    dataset: SliceDataset | None = None
    collectors: Sequence[Collector] = ()
    examples: int = 8
    title: str = ""

    def _start(self, engine: Engine) -> None:
        if self.dataset is None:
            self.dataset = engine.data_loader.dataset
        self._examples = _spread(self.dataset.items, self.examples)
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
            with only_a_picture(name):
                figure = draw()
                figure.savefig(self.folder / name, dpi=figure.dpi)
        tables = {f"{noun}.csv": _together([identity, *(each.columns for each in results)])}
        for name, columns in _together([tables, *(each.tables for each in results)]).items():
            write_csv(self.folder / name, columns)
        return _together([counts, *(each.metrics for each in results)])

    def _results(self, items: Sequence[Mapping[str, Any]]) -> Iterator[CollectorResults]:
        for collector, taken in zip(self.collectors, self._taken, strict=True):
            rows = {name: torch.cat(values) for name, values in taken.items()}
            yield collector.results(rows, items, self.title)


def _together(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge all parts into one dictionary.

    Raises:
        InputError: two parts have an entry with the same name, so one would be lost.
    """
    merged: dict[str, Any] = {}
    for part in parts:
        twice = sorted(merged.keys() & part.keys())
        if twice:
            raise InputError(f"two collectors of the report write {', '.join(twice)}; leave one of them out")
        merged |= part
    return merged


def _spread(items: Sequence[Mapping[str, Any]], count: int) -> set[int]:
    """Indices of ``count`` items that are spread over the exams. From each item to the next, the relative position within
    the exam increases."""
    exams = list(rows_by_exam(items).values())
    count = min(count, len(items))
    shown = set()
    for number in range(count):
        rows = exams[number * len(exams) // count]
        shown.add(rows[int((number + 0.5) / count * len(rows))])
    return shown
