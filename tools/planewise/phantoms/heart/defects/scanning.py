"""Scan another series of an exam, or repeat a series with other settings, for several defects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from planewise.phantoms.heart.cine_series import Series, series_files
from planewise.phantoms.heart.defects.files import by_series
from planewise.phantoms.heart.exam import Exam
from planewise.phantoms.heart.study import STUDY
from planewise.phantoms.scanner.dicom import DicomFile, Identity
from planewise.phantoms.scanner.pose import ImagePose


def acquire(
    exam: Exam, identity: Identity, view: str, description: str, number: int, pose: ImagePose, **values: object
) -> list[DicomFile]:
    """Scan another series. Its number also determines its noise."""
    folder = f"{description.replace(' ', '_')}_{number}"
    return series_files(exam, Series(view, folder, description, number, pose, stream=number, **values), identity, STUDY)


def again(
    files: list[DicomFile], exam: Exam, identity: Identity, which: Callable[[DicomFile], bool], **values: object
) -> list[DicomFile]:
    """Acquire some series of an exam again with other settings, under the same names; return all files of the exam."""
    result = []
    for _, group in by_series(files):
        first = group[0]
        if first.dataset is not None and which(first):
            columns, rows = int(first.dataset.Columns), int(first.dataset.Rows)
            number = int(first.dataset.SeriesNumber)
            series = Series(
                view=first.view,
                folder=first.path.parent.name,
                description=str(first.dataset.SeriesDescription),
                number=number,
                pose=exam.poses[first.view][first.slice],
                slice=first.slice,
                stream=number,
                matrix=(columns, rows),
            )
            group = series_files(exam, replace(series, **values), identity, STUDY)
        result += group
    return result
