"""Write the picture of a restored stack."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from planewise.evaluation.exam_writer import ExamWriter
from planewise.evaluation.only_a_picture import only_a_picture
from planewise.reports.image_pretext_figures import restored_stack_figure
from planewise.reports.slices import QUICK_PNG

logger = logging.getLogger(__name__)


class RestoredWriter(ExamWriter):
    """For every stack, write ``output_dir/<exam>/restored.png``: slices and their restorations.

    Attach it to the evaluator of an inference config, whose postprocessing runs `RestoredImaged`. The NIfTI file comes from
    `SaveImaged` there.

    Args:
        output_dir: folder for the results.
    """

    def write(self, exam: str, folder: Path, item: Mapping[str, Any], output: Mapping[str, Any]) -> None:
        image, restored = (np.asarray(output[key][0].cpu()) for key in ("image", "network_restored"))
        error = float(np.square(restored - image).mean())
        with only_a_picture("restored.png"):
            figure = restored_stack_figure(image, restored, f"{exam}: mean squared difference {error:.3f}")
            figure.savefig(folder / "restored.png", dpi=110, pil_kwargs=QUICK_PNG)
        logger.info("exam %s: restored with a mean squared difference of %.3f", exam, error)
