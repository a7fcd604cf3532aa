"""Write the locations of a stack's slices."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from planewise.evaluation.exam_writer import ExamWriter
from planewise.evaluation.label_slices import channel_locations, stack_verdict
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
      If the order is below ``min_order``, the verdict is "no order": the stack shows another organ than the network's
      training data, or its slices run in another direction;
    - ``locations.png``: the slices with their locations.

    Attach it to the evaluator of an inference config. It uses ``locations`` of `LabelSlicesd` if there are any, and
    otherwise reads them from ``pred``.

    Args:
        output_dir: folder for the results.
        mapping: mapping of the location, ``"linear"`` (Zhang 2024 Eq. 3) or ``"sine"`` (Eq. 4).
        min_order: smallest accepted order; for the linear mapping, the smallest accepted absolute value.
        start: name of the slice at location 0, for the linear mapping.
    """

    def __init__(
        self,
        output_dir: str | Path,
        mapping: Literal["linear", "sine"] = "linear",
        min_order: float = 0.7,
        start: str = "basal",
    ) -> None:
        super().__init__(output_dir)
        self.mapping = mapping
        self.min_order = min_order
        self.start = start

    def write(self, exam: str, folder: Path, item: Mapping[str, Any], output: Mapping[str, Any]) -> None:
        locations = output["locations"] if "locations" in output else channel_locations(output["pred"])
        order, verdict = stack_verdict(locations, self.mapping, self.min_order, self.start)
        found = {"note": RESEARCH_ONLY, "verdict": verdict, "order": order, "locations": locations.tolist()}
        write_json(folder / "locations.json", found)
        image = np.asarray(output["image"][0].cpu())
        self._draw(image, locations, f"exam {exam}: {verdict}", folder / "locations.png")
        logger.info("exam %s: %s (order %.2f)", exam, verdict, order)

    def _draw(self, image: np.ndarray, locations: np.ndarray, title: str, path: Path) -> None:
        def draw(axes: Axes, number: int) -> None:
            axes.set_title(f"{locations[number]:.2f}", fontsize=9)

        with only_a_picture(path.name):
            figure = stack_figure(image, draw, f"{title}\n{RESEARCH_ONLY}")
            figure.savefig(path, dpi=110, pil_kwargs=QUICK_PNG)
