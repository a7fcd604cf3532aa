"""True breath-hold shifts of a phantom heart's images, which `Population.breath` determines."""

from __future__ import annotations

import numpy as np

from planewise.phantoms.heart.exam import Exam
from planewise.phantoms.heart.study import plan_series
from planewise.phantoms.heart.volumes import VIEW_STREAMS


def true_shifts(exam: Exam, dicom: bool) -> dict[tuple[str, int], np.ndarray]:
    """Shifts that move an exam's images to the heart's positions in their breath-holds.

    Args:
        exam: an exam without defects.
        dicom: whether the exam was written as DICOM series instead of NIfTI cines.

    Returns:
        Maps the view (``sax``, ``2ch``, ``4ch``) and the slice's rank from the base to the shift ``(3,)``, RAS+, mm, that
        must be added to the image's position.
    """
    if dicom:
        streams = {(series.view, series.slice): series.stream for series in plan_series(exam)}
    else:
        streams = {
            (view, rank): VIEW_STREAMS[view] + rank for view in VIEW_STREAMS for rank in range(len(exam.poses[view]))
        }
    # the breath moved the body, so the image shows a point displaced in the opposite direction
    return {image: -exam.breath(stream) for image, stream in streams.items()}
