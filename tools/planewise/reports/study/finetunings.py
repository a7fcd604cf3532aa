"""Fine-tunings of a study: the output of its target's runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from planewise.reports.history import read_history
from planewise.reports.methods import method_name
from planewise.reports.study.folder import StudyFolder, read_json
from planewise.reports.study.page import Page


@dataclass(frozen=True)
class FineTunings:
    """Runs by method and number of labelled exams.

    Attributes:
        study: their study.
        scores: ``metrics.json`` of each draw.
        histories: ``history.csv`` of the draws, in order.
    """

    study: StudyFolder
    scores: dict[tuple[str, int], dict[int, dict]]
    histories: dict[tuple[str, int], list]

    @classmethod
    def found(cls, study: StudyFolder, score: str) -> FineTunings:
        """Runs whose ``metrics.json`` holds the named score."""
        runs = cls(study, defaultdict(dict), defaultdict(list))
        for method, count, draw, folder in study.runs("finetune"):
            content = read_json(folder / "test" / "metrics.json")
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
        """The output of one of the runs, for the test exams, which are the same for all."""
        return next(iter(next(iter(self.scores.values())).values()))

    def cells(self) -> Iterator[tuple[int, str, dict[int, dict]]]:
        """Number of labelled exams, method, and draw to metrics, in the page's order."""
        for count in self.counts:
            for method in self.study.methods:
                if draws := self.scores.get((method, count)):
                    yield count, method, draws

    def values(self, score: Callable[[dict], float | None]) -> dict[tuple[str, int], dict[int, float]]:
        """A number for each draw, if known."""
        values = {}
        for count, method, draws in self.cells():
            numbers = {draw: score(content) for draw, content in draws.items()}
            values[method, count] = {draw: number for draw, number in numbers.items() if number is not None}
        return values

    def show(self, page: Page, picture: str, caption: str, at_least: int = 0) -> None:
        """A picture of the first draw of each method, for each number of labelled exams from ``at_least`` on."""
        for count, method, draws in self.cells():
            if count < at_least:
                continue
            draw = min(draws)
            page.figure(
                self.study.path / "finetune" / method / str(count) / str(draw) / "test" / picture,
                f"{count} labelled exam{'s' if count > 1 else ''}, {method_name(method)}, draw {draw}{caption}.",
            )
