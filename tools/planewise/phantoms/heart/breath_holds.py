"""How far the images of a phantom heart lie from where their headers say: the truth behind `Population.breath`."""

from __future__ import annotations

import numpy as np

from planewise.phantoms.heart.exam import Exam
from planewise.phantoms.heart.study import plan_series
from planewise.phantoms.heart.volumes import VIEW_STREAMS


def true_shifts(exam: Exam, dicom: bool) -> dict[tuple[str, int], np.ndarray]:
    """Shifts that put an exam's images where the heart was in their breath-holds.

    Args:
        exam: without defects.
        dicom: whether it was written as DICOM series, or else as NIfTI cines.

    Returns:
        View (``sax``, ``2ch``, ``4ch``) and rank of the slice, from the base, to the shift ``(3,)``, RAS+, mm, to add to the
        image's position.
    """
    if dicom:
        streams = {(series.view, series.slice): series.stream for series in plan_series(exam)}
    else:
        streams = {
            (view, rank): VIEW_STREAMS[view] + rank for view in VIEW_STREAMS for rank in range(len(exam.poses[view]))
        }
    # the body has moved by the breath, so the image shows what lies that much the other way
    return {image: -exam.breath(stream) for image, stream in streams.items()}
