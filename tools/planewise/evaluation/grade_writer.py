"""The grade of a photograph, in the form that MONAI Label expects, and in files."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import Transform
from torch import nn

from planewise.evaluation.exam_writer import PredictionsWriter
from planewise.evaluation.grading_report import decided
from planewise.evaluation.only_a_picture import only_a_picture
from planewise.metrics.grades import check_thresholds, predicted_grades
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


class GradeAnswerd(Transform):
    """Add to an item the grade that follows from its probabilities.

    MONAI Label shows ``pred`` as labels and returns ``result`` as JSON, so it gets empty labels and the grade.

    Reads ``image``, ``(C, i, j)``, and ``pred``, probabilities of a grade above each threshold, ``(thresholds,)``. Writes

    - ``grade``: a whole number;
    - ``result``: ``grade``, its ``name``, and under ``at_least`` the probability of each grade or a higher one;
    - ``pred``: labels of zero, ``(1, i, j)``, uint8.

    Args:
        grades: names in order, one more than there are thresholds.

    Raises:
        InputError: ``pred`` does not have one value for each threshold.
    """

    def __init__(self, grades: Sequence[str]) -> None:
        self.grades = tuple(str(name) for name in grades)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        image, probabilities = item["image"], torch.as_tensor(item["pred"]).float().cpu().numpy()
        check_thresholds(probabilities[None], self.grades)
        grade = int(predicted_grades(probabilities[None])[0])
        item["grade"] = grade
        item["result"] = {
            "note": RESEARCH_ONLY,
            "grade": grade,
            "name": self.grades[grade],
            "at_least": {
                name: float(f"{value:.6g}") for name, value in zip(self.grades[1:], probabilities, strict=True)
            },
        }
        labels = torch.zeros((1, *image.shape[1:]), dtype=torch.uint8, device=image.device)
        item["pred"] = MetaTensor(labels, meta=image.meta) if isinstance(image, MetaTensor) else labels
        return item
