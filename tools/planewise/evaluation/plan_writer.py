"""Write the results of view planning."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from planewise.evaluation.exam_writer import ExamWriter
from planewise.evaluation.only_a_picture import only_a_picture
from planewise.evaluation.plan_views import slice_affines
from planewise.reports.planned_views import plane_in_words, planned_views_figure, slicer_markups
from planewise.reports.slices import QUICK_PNG
from planewise.reports.tables import write_json

logger = logging.getLogger(__name__)


class PlanWriter(ExamWriter):
    """For every stack, write its planned planes into ``output_dir/<exam>/``.

    - ``plan.json``: planes, trust values, relative locations;
    - ``planes.mrk.json``: the planes for 3D Slicer;
    - ``plan.png``: the slices with heatmaps and lines.

    Attach it to the evaluator of an inference config, whose postprocessing runs `PlanViewsd`. The NIfTI files come from
    `SaveImaged` there.

    Args:
        output_dir: folder for the results.
        plan_only: write only ``plan.json``.
    """

    def __init__(self, output_dir: str | Path, plan_only: bool = False) -> None:
        super().__init__(output_dir)
        self.plan_only = plan_only

    def write(self, exam: str, folder: Path, item: Mapping[str, Any], output: Mapping[str, Any]) -> None:
        image, plan = output["image"], output["plan"]
        write_json(folder / "plan.json", plan)
        if self.plan_only:
            return
        write_json(folder / "planes.mrk.json", slicer_markups(plan))
        with only_a_picture("plan.png"):
            figure = planned_views_figure(
                np.asarray(image[0].cpu()),
                np.asarray(output["network_heatmaps"].cpu()),
                slice_affines(image, item.get("slice_affines")),
                plan,
                exam,
            )
            figure.savefig(folder / "plan.png", dpi=110, pil_kwargs=QUICK_PNG)
        for name, view in plan["views"].items():
            said = view["reasons"] or plane_in_words(view, plan)
            logger.info("exam %s, %s: %s %s", exam, name, view["verdict"], "; ".join(said))
