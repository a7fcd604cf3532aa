"""A restored image, in the form that MONAI Label expects, and as a picture."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform

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


class RestoredImaged(Transform):
    """Move a restored image out of ``pred``, which MONAI Label shows as labels.

    Reads ``image`` and ``pred``, ``(1, i, j, slices)``. Writes

    - ``restored`` and ``network_restored``: the content of ``pred``; `Invertd` resamples ``restored`` to the image's
      own grid;
    - ``pred``: labels of zero, uint8.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        image, restored = item["image"], torch.as_tensor(item["pred"]).float()
        volumes = {"pred": torch.zeros_like(restored, dtype=torch.uint8), "restored": restored}
        if isinstance(image, MetaTensor):
            volumes = {name: MetaTensor(volume, meta=image.meta) for name, volume in volumes.items()}
        return item | volumes | {"network_restored": restored}
