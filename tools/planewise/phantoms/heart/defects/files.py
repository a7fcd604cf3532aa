"""Find and change the files of an exam, for several defects."""

from __future__ import annotations

from copy import deepcopy
from pathlib import PurePosixPath

import numpy as np

from planewise.phantoms.heart.exam import Exam
from planewise.phantoms.heart.study import STUDY
from planewise.phantoms.scanner.dicom import DicomFile, uid

#: Smallest number of a series that a defect adds. Exams without defects have lower numbers.
ADDED = 60


def images(files: list[DicomFile]) -> list[DicomFile]:
    """The files that are still complete DICOM files. Another defect may have emptied or truncated other files."""
    return [file for file in files if file.dataset is not None]


def by_series(files: list[DicomFile]) -> list[tuple[PurePosixPath, list[DicomFile]]]:
    """Files grouped by their folder, in the order in which the folders appear."""
    groups: dict[PurePosixPath, list[DicomFile]] = {}
    for file in files:
        groups.setdefault(file.path.parent, []).append(file)
    return list(groups.items())


def find(files: list[DicomFile], view: str, slice: int, phase: int) -> DicomFile:
    """The file of a view, slice and phase."""
    return next(file for file in files if (file.view, file.slice, file.phase) == (view, slice, phase))


def typical(files: list[DicomFile]) -> DicomFile:
    """A 4ch image, or any other image if another defect has removed the 4ch view."""
    return max(images(files), key=lambda file: (file.view == "4ch", -file.phase))


def without(files: list[DicomFile], keyword: str) -> list[DicomFile]:
    """Remove a header entry from the files."""
    for file in images(files):
        file.dataset.pop(keyword, None)
    return files


def added(files: list[DicomFile], exam: Exam, name: str, pixels: np.ndarray) -> DicomFile:
    """Make an additional file in its own series, with the header of an existing image."""
    dataset = deepcopy(typical(files).dataset)
    dataset.SeriesInstanceUID = uid(exam, "series", name)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid(exam, "image", name)
    dataset.SeriesNumber = ADDED + 20
    dataset.SeriesDescription = dataset.ProtocolName = name
    file = DicomFile(STUDY / f"{name.replace(' ', '_')}_{ADDED + 20}" / "IM-0080-0001.dcm", dataset, view=name)
    file.pixels = pixels
    return file
