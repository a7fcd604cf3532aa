"""The largest piece of each label, and pictures of segmented stacks."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine
from monai.transforms import KeepLargestConnectedComponentd, generate_spatial_bounding_box

from planewise.evaluation.exam_writer import ExamWriter
from planewise.evaluation.only_a_picture import only_a_picture
from planewise.exams.words import some_of
from planewise.preprocessing.limit_slices import evenly_spaced
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.reports.segmentation_figures import add_structure_legend, overlay_labels
from planewise.reports.slices import QUICK_PNG, stack_figure

logger = logging.getLogger(__name__)

#: Maximum number of slices in a picture.
_DRAWN = 48


class SegmentationWriter(ExamWriter):
    """For every stack, write ``output_dir/<name>/segmentation.png``: its slices with the predicted labels on top; if
    there are many slices, `_DRAWN` of them, evenly spaced. At the end, name the stacks whose masks are empty.

    Attach it to the evaluator of an inference config; the masks themselves come from `SaveImaged` there. The evaluator's
    batches contain ``native_image``; its outputs contain ``pred``, label values on the volume's own grid.

    Args:
        output_dir: folder for the results.
        structures: label value to name.
    """

    def __init__(self, output_dir: str | Path, structures: Mapping[int | str, str]) -> None:
        super().__init__(output_dir)
        self.structures = {int(value): name for value, name in structures.items()}
        self.empty: list[str] = []

    def write(self, exam: str, folder: Path, item: Mapping[str, Any], output: Mapping[str, Any]) -> None:
        image, labels = (np.asarray(value[0].cpu()) for value in (item["native_image"], output["pred"]))
        if not labels.any():
            self.empty.append(exam)
        draw_segmentation(folder, image, labels, self.structures, exam)

    def _finish(self, engine: Engine) -> None:
        super()._finish(engine)
        if self.empty:
            logger.warning(
                "%d of %d masks %s empty, because no structure was found: %s",
                *(len(self.empty), len(self.written), "is" if len(self.empty) == 1 else "are", some_of(self.empty)),
            )


def draw_segmentation(
    folder: Path, image: np.ndarray, labels: np.ndarray, structures: Mapping[int, str], title: str
) -> None:
    """Write ``segmentation.png``, see `SegmentationWriter`: image and label map are ``(i, j, slices)``. The pictures are
    cropped to the labels and half of their width on each side."""
    drawn = evenly_spaced(image.shape[-1], _DRAWN)
    first, last = map(np.array, generate_spatial_bounding_box(labels.any(axis=2)[None]))
    if last.all():
        around = (last - first) // 2
        box = tuple(slice(max(low, 0), high) for low, high in zip(first - around, last + around, strict=True))
        image, labels = image[box], labels[box]
    image, labels = image[..., drawn], labels[..., drawn]
    with only_a_picture("segmentation.png"):
        figure = stack_figure(
            image,
            lambda axes, number: overlay_labels(axes, labels[..., number]),
            f"{title}. {RESEARCH_ONLY}",
            [int(number) + 1 for number in drawn],
        )
        add_structure_legend(figure, structures)
        figure.savefig(folder / "segmentation.png", dpi=110, pil_kwargs=QUICK_PNG)


class KeepLargestPiecesd(KeepLargestConnectedComponentd):
    """Apply MONAI's `KeepLargestConnectedComponentd` inside the bounding box of all labels, which is small for a heart.

    The result and the arguments are the same, for labels ``(1, i, j, k)`` with 0 for the background.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            start, end = generate_spatial_bounding_box(item[key])
            box = (slice(None), *(slice(first, last) for first, last in zip(start, end, strict=True)))
            if all(end):
                item[key] = item[key].clone()
                item[key][box] = self.converter(item[key][box])
        return item
