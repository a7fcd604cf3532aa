"""Write the grade of each photograph."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from planewise.evaluation.exam_writer import PredictionsWriter
from planewise.evaluation.grading_report import decided
from planewise.evaluation.only_a_picture import only_a_picture
from planewise.reports.classification_figures import photographs_figure
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.reports.tables import write_json

logger = logging.getLogger(__name__)


class GradeWriter(PredictionsWriter):
    """For every photograph, write its grade into ``output_dir``.

    - ``<exam>/grade.json`` and ``<exam>/saliency.png``: the result of `GradeAnswerd`, and where the network looked;
    - ``predictions.csv``: all photographs.

    Attach it to the evaluator of an inference config, which decollates.

    Args:
        output_dir: folder for the results.
        network: the network whose saliency is drawn.
    """

    def __init__(self, output_dir: str | Path, network: nn.Module) -> None:
        super().__init__(output_dir)
        self.network = network

    def diagnose(self, exam: str, folder: Path, item: Mapping[str, Any], output: Mapping[str, Any]) -> dict[str, Any]:
        found = output["result"]
        with only_a_picture("saliency.png"):
            caption = f"grade {found['grade']}: {found['name']}"
            shown = decided(self.network, torch.as_tensor(output["image"]), found["grade"], caption)
            photographs_figure([shown], f"{exam}. {RESEARCH_ONLY}").savefig(folder / "saliency.png", dpi=110)
        write_json(folder / "grade.json", found)
        logger.info("exam %s: grade %d (%s)", exam, found["grade"], found["name"])
        told = {f"p({name} or above)": value for name, value in found["at_least"].items()}
        return {"grade": found["grade"], "name": found["name"], **told}
