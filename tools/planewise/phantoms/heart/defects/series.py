"""Defects in the division of images into series."""

from __future__ import annotations

from planewise.phantoms.defect import Defect, registering
from planewise.phantoms.heart.defects.enhanced import enhanced_file
from planewise.phantoms.heart.defects.files import without
from planewise.phantoms.heart.exam import Exam
from planewise.phantoms.heart.study import STUDY, localizer_files
from planewise.phantoms.scanner.dicom import DicomFile, Identity, uid

#: Flaws by name, in listing order.
SERIES: dict[str, Defect] = {}

_defect = registering(SERIES)


@_defect("the whole short-axis stack is one series whose instance numbers run through all slices and phases")
def one_series(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    stack = [file for file in files if file.view == "sax"]
    first = stack[0].dataset
    for rank, file in enumerate(stack):
        file.dataset.SeriesInstanceUID = uid(exam, "one series")
        file.dataset.SeriesNumber = first.SeriesNumber
        file.dataset.InstanceNumber = rank + 1
        file.path = STUDY / "sax_1" / f"IM-{first.SeriesNumber:04d}-{rank + 1:04d}.dcm"
    return files


@_defect("a localizer: axial, coronal and sagittal images inside one series")
def localizer(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    return localizer_files(exam, identity) + files


@_defect("SeriesInstanceUID is missing, as in the real DSBCC")
def no_series_uid(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    return without(files, "SeriesInstanceUID")


@_defect("multi-frame Enhanced MR: one file for the stack, one per long-axis view, a localizer of three orientations")
def enhanced(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    files = localizer(files, exam, identity)
    views = sorted({file.view for file in files})
    return [enhanced_file([file for file in files if file.view == view], exam, view) for view in views]
