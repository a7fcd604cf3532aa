"""Write the grade of each photograph."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import nn

from planewise.evaluation.grading_report import decided
from planewise.evaluation.only_a_picture import only_a_picture
from planewise.preprocessing.exam_name import loaded_name
from planewise.reports.grading_figures import photographs_figure
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.reports.tables import write_csv, write_json

logger = logging.getLogger(__name__)


class GradeWriter:
    """For every photograph write its grade into ``output_dir``.

    - ``<exam>/grade.json`` and ``<exam>/saliency.png``: what `GradeAnswerd` says, and where the network looked;
    - ``predictions.csv``: all photographs.

    Attach it to the evaluator of an inference config, which decollates.

    Args:
        output_dir: folder.
        network: whose saliency is drawn.
    """

    def __init__(self, output_dir: str | Path, network: nn.Module) -> None:
        self.folder = Path(output_dir)
        self.network = network

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._rows: list[dict[str, Any]] = []

    def __call__(self, engine: Engine) -> None:
        for output in engine.state.output:
            exam, found = loaded_name(output["image"]), output["result"]
            folder = self.folder / exam
            folder.mkdir(parents=True, exist_ok=True)
            with only_a_picture("saliency.png"):
                caption = f"grade {found['grade']}: {found['name']}"
                shown = decided(self.network, torch.as_tensor(output["image"]), found["grade"], caption)
                photographs_figure([shown], f"{exam}. {RESEARCH_ONLY}").savefig(folder / "saliency.png", dpi=110)
            write_json(folder / "grade.json", found)
            told = {f"p({name} or above)": value for name, value in found["at_least"].items()}
            self._rows.append({"exam": exam, "grade": found["grade"], "name": found["name"], **told})
            logger.info("exam %s: grade %d (%s)", exam, found["grade"], found["name"])

    def _write(self, engine: Engine) -> None:
        if self._rows:
            columns = {name: [row[name] for row in self._rows] for name in self._rows[0]}
            write_csv(self.folder / "predictions.csv", columns)
