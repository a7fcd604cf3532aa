"""The base class of reports, which collect an evaluator's batches in one pass and then write tables and pictures."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from planewise.reports.tables import json_text, write_json
from planewise.scored import write_scored

logger = logging.getLogger(__name__)


@dataclass(eq=False, repr=False)
class Report:
    """Collect an evaluator's batches; at the end, call `write`, and write the scores that it returns to ``metrics.json``. The
    file ``scored.json`` next to it says which weights and which exams were scored (`planewise.scored`).

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
            logger.info("the scores are in %s/metrics.json, in the output folder", self.folder.name)
