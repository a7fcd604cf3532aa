"""The base class of classification writers, which write a folder for each exam, and one table of all exams."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from planewise.evaluation.exam_writer import ExamWriter
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.reports.tables import write_predictions


class PredictionsWriter(ExamWriter):
    """Call `diagnose` for each exam, with its folder ``output_dir/<exam>/``, and write the returned rows into
    ``predictions.csv``.

    Args:
        output_dir: folder for the results.
        note: sentence in every row of the table.
    """

    def __init__(self, output_dir: str | Path, note: str = RESEARCH_ONLY) -> None:
        super().__init__(output_dir)
        self.note = note

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._start)
        super().attach(engine)
        engine.add_event_handler(Events.COMPLETED, self._write_table)

    def diagnose(self, exam: str, folder: Path, item: Mapping[str, Any], output: Mapping[str, Any]) -> dict[str, Any]:
        """Write the files of one exam (see `ExamWriter.write`).

        Returns:
            The row of the exam, which maps columns to values.
        """
        raise NotImplementedError

    def write(self, exam: str, folder: Path, item: Mapping[str, Any], output: Mapping[str, Any]) -> None:
        self._rows.append({"exam": exam, **self.diagnose(exam, folder, item, output)})

    def _start(self, engine: Engine) -> None:
        self._rows: list[dict[str, Any]] = []

    def _write_table(self, engine: Engine) -> None:
        if self._rows:
            columns = {name: [row[name] for row in self._rows] for name in self._rows[0]}
            write_predictions(self.folder / "predictions.csv", columns, self.note)
