"""Pictures of segmented stacks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from ignite.engine import Engine, Events

from planewise.evaluation.only_a_picture import only_a_picture
from planewise.preprocessing.exam_name import loaded_name
from planewise.preprocessing.limit_slices import evenly_spaced
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.reports.segmentation_figures import add_structure_legend, overlay_labels
from planewise.reports.slices import QUICK_PNG, stack_figure

#: Most slices of a picture.
_DRAWN = 48


class SegmentationWriter:
    """For every stack write ``output_dir/<name>/segmentation.png``: its slices under the predicted labels; of many slices
    `_DRAWN`, evenly spaced.

    Attach it to the evaluator of an inference config; the masks themselves come from `SaveImaged` there. Its batches
    hold ``native_image``, its outputs ``pred``: label values on the volume's own grid.

    Args:
        output_dir: folder.
        structures: label value to name.
    """

    def __init__(self, output_dir: str | Path, structures: Mapping[int | str, str]) -> None:
        self.folder = Path(output_dir)
        self.structures = {int(value): name for value, name in structures.items()}

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            name = loaded_name(output["image"])
            image, labels = (np.asarray(value[0].cpu()) for value in (item["native_image"], output["pred"]))
            drawn = evenly_spaced(image.shape[-1], _DRAWN)
            with only_a_picture("segmentation.png"):
                figure = stack_figure(
                    image[..., drawn],
                    lambda axes, number, labels=labels[..., drawn]: overlay_labels(axes, labels[..., number]),
                    f"{name}: {RESEARCH_ONLY}",
                )
                add_structure_legend(figure, self.structures)
                (self.folder / name).mkdir(parents=True, exist_ok=True)
                figure.savefig(self.folder / name / "segmentation.png", dpi=110, pil_kwargs=QUICK_PNG)
