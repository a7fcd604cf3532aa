"""The base classes of writers in an inference config, which write a folder for each exam, and a table of all exams."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from planewise.exams.words import count_of
from planewise.preprocessing.exam_name import loaded_name
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.reports.tables import write_predictions

logger = logging.getLogger(__name__)


class ExamWriter:
    """Call `write` for each exam, with its folder ``output_dir/<exam>/``. Attach it to the evaluator of an inference
    config; this evaluator must decollate its batches.

    Args:
        output_dir: folder for the results.
    """

    def __init__(self, output_dir: str | Path) -> None:
        self.folder = Path(output_dir)
        self.written: set[str] = set()

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self._finish)

    def __call__(self, engine: Engine) -> None:
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            exam = loaded_name(output["image"])
            folder = self.folder / exam
            folder.mkdir(parents=True, exist_ok=True)
            self.write(exam, folder, item, output)
            self.written.add(exam)

    def _finish(self, engine: Engine) -> None:
        if self.written:  # only the number, because a folder's name may contain a person's name
            logger.info("wrote %s into the output folder, one for each result", count_of(len(self.written), "folder"))

    def write(self, exam: str, folder: Path, item: Mapping[str, Any], output: Mapping[str, Any]) -> None:
        """Write the files of one exam.

        Args:
            exam: the exam's hash, or the name of its file.
            folder: folder of the exam; it exists.
            item: item of the evaluator's batch.
            output: output of the evaluator.
        """
        raise NotImplementedError


class PredictionsWriter(ExamWriter):
    """Call `diagnose` for each exam, with its folder ``output_dir/<exam>/``, and write the returned rows into
    ``predictions.csv``. If the table exists, the rows of other exams stay as long as their folders exist.

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
        if not self._rows:
            return
        columns = {name: [row[name] for row in self._rows] for name in self._rows[0]}
        write_predictions(self.folder / "predictions.csv", columns, self.note, keep=self._has_folder)

    def _has_folder(self, exam: str) -> bool:
        """Whether an exam of the table still has its folder; the table may put an apostrophe in front of its name."""
        return any((self.folder / name).is_dir() for name in (exam, exam.removeprefix("'")))
