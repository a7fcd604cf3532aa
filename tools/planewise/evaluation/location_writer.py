"""Write the locations of a stack's slices."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from planewise.evaluation.exam_writer import ExamWriter
from planewise.evaluation.only_a_picture import only_a_picture
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.reports.slices import QUICK_PNG, stack_figure
from planewise.reports.tables import write_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes

logger = logging.getLogger(__name__)


class LocationWriter(ExamWriter):
    """For every stack, write its slices' relative locations into ``output_dir/<exam>/``.

    - ``locations.json``: the location of each slice; the conclusions (which end of a short-axis stack is the base;
      which slice of a knee is its middle); and how well the locations follow the expected order (`location_order`).
      The verdict "no order" means that the stack shows another organ than the network's training data, or that its
      slices run in another direction;
    - ``locations.png``: the slices with their locations.

    Attach it to the evaluator of an inference config, whose postprocessing runs `LabelSlicesd` or `OrderSlicesd`.

    Args:
        output_dir: folder for the results.
    """

    def write(self, exam: str, folder: Path, item: Mapping[str, Any], output: Mapping[str, Any]) -> None:
        locations, result = output["locations"], output["result"]
        known = {name: result[name] for name in ("note", "verdict", "order")}
        write_json(folder / "locations.json", known | {"locations": locations.tolist()})
        image = np.asarray(output["image"][0].cpu())

        def draw(axes: Axes, number: int) -> None:
            axes.set_title(f"{locations[number]:.2f}", fontsize=9)

        with only_a_picture("locations.png"):
            figure = stack_figure(image, draw, f"exam {exam}: {result['verdict']}\n{RESEARCH_ONLY}")
            figure.savefig(folder / "locations.png", dpi=110, pil_kwargs=QUICK_PNG)
        logger.info("exam %s: %s (order %s)", exam, result["verdict"], result["order"])
