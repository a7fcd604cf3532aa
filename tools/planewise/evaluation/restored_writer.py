"""Write the picture of a restored stack."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from ignite.engine import Engine, Events

from planewise.evaluation.only_a_picture import only_a_picture
from planewise.preprocessing.exam_name import loaded_name
from planewise.reports.restoration_figures import restored_stack_figure
from planewise.reports.slices import QUICK_PNG

logger = logging.getLogger(__name__)


class RestoredWriter:
    """For every stack write ``output_dir/<exam>/restored.png``: slices, and what they are restored as.

    Attach it to the evaluator of an inference config, whose postprocessing runs `RestoredImaged`. The NIfTI file comes from
    `SaveImaged` there.

    Args:
        output_dir: folder.
    """

    def __init__(self, output_dir: str | Path) -> None:
        self.folder = Path(output_dir)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        for output in engine.state.output:
            exam = loaded_name(output["image"])
            image, restored = (np.asarray(output[key][0].cpu()) for key in ("image", "network_restored"))
            error = float(np.square(restored - image).mean())
            with only_a_picture("restored.png"):
                (self.folder / exam).mkdir(parents=True, exist_ok=True)
                figure = restored_stack_figure(image, restored, f"{exam}: mean squared difference {error:.3f}")
                figure.savefig(self.folder / exam / "restored.png", dpi=110, pil_kwargs=QUICK_PNG)
            logger.info("exam %s: restored with a mean squared difference of %.3f", exam, error)
