"""Fine-tunings of a study: the results of its target's runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from planewise.exams.words import count_of
from planewise.reports.history import read_history
from planewise.reports.methods import method_name
from planewise.reports.study.folder import StudyFolder, read_json
from planewise.reports.study.numbers import over_draws
from planewise.reports.study.page import Page, Row
from planewise.reports.study_figures import finetune_curves


@dataclass(frozen=True)
class FineTunings:
    """Runs by method and number of labelled exams.

    Attributes:
        study: the study that the runs belong to.
        scores: content of ``metrics.json`` by draw.
        histories: content of ``history.csv`` for each draw, in order.
    """

    study: StudyFolder
    scores: dict[tuple[str, int], dict[int, dict]]
    histories: dict[tuple[str, int], list]

    @classmethod
    def found(cls, study: StudyFolder, score: str, kind: str = "finetune", scored: str = "test") -> FineTunings:
        """Runs whose ``metrics.json`` contains the named score: those in the study's folder ``kind``, which have their
        scores in the folder ``scored``."""
        runs = cls(study, defaultdict(dict), defaultdict(list))
        for method, count, draw, folder in study.runs(kind):
            content = read_json(folder / scored / "metrics.json")
            if content and score in content:
                runs.scores[method, count][draw] = content
                runs.histories[method, count].append(read_history(folder / "history.csv"))
        return runs

    @property
    def counts(self) -> list[int]:
        """Numbers of labelled exams."""
        return sorted({count for _, count in self.scores})

    @property
    def any(self) -> dict:
        """The metrics of any one run, for information that all runs share, such as the test exams."""
        return next(iter(next(iter(self.scores.values())).values()))

    def cells(self) -> Iterator[tuple[int, str, dict[int, dict]]]:
        """Yield the number of labelled exams, the method, and its metrics by draw, in the page's order."""
        for count in self.counts:
            for method in self.study.methods:
                if draws := self.scores.get((method, count)):
                    yield count, method, draws

    def values(self, score: Callable[[dict], float | None]) -> dict[tuple[str, int], dict[int, float]]:
        """A number for each draw; draws without it are left out."""
        values = {}
        for count, method, draws in self.cells():
            numbers = {draw: score(content) for draw, content in draws.items()}
            values[method, count] = {draw: number for draw, number in numbers.items() if number is not None}
        return values

    def rows(self, cells: Callable[[list[dict]], Iterable[Any]], having: str = "") -> list[Row]:
        """A row for each number of labelled exams and method, with cells made from the metrics of its draws; only rows
        with a draw that has the metric ``having``."""
        return [
            Row.of(f"{count}, {method_name(method)}", *cells([*draws.values()]))
            for count, method, draws in self.cells()
            if not having or any(having in content for content in draws.values())
        ]

    def add_counts(self, page: Page, title: str, scores: Mapping[tuple[str, int], Mapping[int, float]]) -> None:
        """Add a table with a row for each method and a column for each number of labelled exams, which is also given
        as a share of all labelled exams."""
        whole = self.study.labelled_exams or max(self.counts)
        rows = [
            Row.of(
                method_name(method), *(over_draws(scores.get((method, count), {}).values()) for count in self.counts)
            )
            for method in self.study.methods
            if any((method, count) in scores for count in self.counts)
        ]
        page.table(title, ["method", *(f"{count} ({round(100 * count / whole)} %)" for count in self.counts)], rows)

    def add_pictures(
        self,
        page: Page,
        curves: Mapping[str, str],
        pictures: Mapping[str, str] | None = None,
        curves_are_main: bool = False,
    ) -> None:
        """Add validation scores over the epochs (`finetune_curves`), and pictures of each method's first draw with the
        largest number of labelled exams: captions by the name of the file."""
        caption = "Validation while fine-tuning: each draw (pale) and the median of the draws."
        if curves:
            page.figure(finetune_curves(self.histories, curves), caption, main=curves_are_main)
        for picture, words in (pictures or {}).items():
            for count, method, draws in self.cells():
                if count == max(self.counts):
                    draw = min(draws)
                    named = f"{count_of(count, self.study.labelled)}, {method_name(method)}, draw {draw}: {words}."
                    page.figure(self.study.run(method, count, draw) / "test" / picture, named)
