"""Write where the slices of a stack lie."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from ignite.engine import Engine, Events
from matplotlib.axes import Axes

from planewise.geometry import location_order
from planewise.reports.slices import stack_figure
from planewise.reports.tables import write_json
from planewise.transforms.exam_name import loaded_name
from planewise.transforms.plan_views import RESEARCH_ONLY

logger = logging.getLogger(__name__)


class LocationWriter:
    """For every stack write its slices' relative locations into ``output_dir/<exam>/``.

    - ``locations.json``: the location of each slice, which end of the stack is the base, and how well the locations follow
      the order of the slices (Spearman's rho). Below ``min_order`` the answer is "no order": it is not the organ that the
      network was trained on, or it is cut another way;
    - ``locations.png``: the slices with their locations.

    Attach it to the evaluator of an inference config.

    Args:
        output_dir: folder.
        min_order: smallest rho, either sign.
    """

    def __init__(self, output_dir: str | Path, min_order: float = 0.7) -> None:
        self.folder = Path(output_dir)
        self.min_order = min_order

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        for output in engine.state.output:
            image = output["image"]
            exam = loaded_name(image)
            # the channel is constant over the image; its middle is on the volume's grid whatever was padded
            prediction = np.asarray(output["pred"][0].cpu())
            locations = prediction[prediction.shape[0] // 2, prediction.shape[1] // 2]
            order = location_order(locations)
            if not abs(order) >= self.min_order:
                verdict = "no order"
            else:
                verdict = "first slice is basal" if order > 0 else "last slice is basal"
            folder = self.folder / exam
            folder.mkdir(parents=True, exist_ok=True)
            found = {"note": RESEARCH_ONLY, "verdict": verdict, "order": order, "locations": locations.tolist()}
            write_json(folder / "locations.json", found)
            self._draw(np.asarray(image[0].cpu()), locations, f"exam {exam}: {verdict}", folder / "locations.png")
            logger.info("exam %s: %s (order %.2f)", exam, verdict, order)

    def _draw(self, image: np.ndarray, locations: np.ndarray, title: str, path: Path) -> None:
        def draw(axes: Axes, number: int) -> None:
            axes.set_title(f"{locations[number]:.2f}", fontsize=9)

        figure = stack_figure(image, draw, f"{title}\n{RESEARCH_ONLY}")
        figure.savefig(path, dpi=110)
