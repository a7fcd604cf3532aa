"""The base class of writers in an inference config, which write a folder for each exam."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from planewise.exams.words import count_of
from planewise.preprocessing.exam_name import loaded_name

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
