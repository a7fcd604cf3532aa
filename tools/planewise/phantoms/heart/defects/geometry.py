"""Defects of frames of reference and geometry."""

from __future__ import annotations

from planewise.phantoms.defect import Defect, registering
from planewise.phantoms.heart.defects.files import images, without
from planewise.phantoms.heart.exam import Exam
from planewise.phantoms.scanner.dicom import DicomFile, Identity, number, uid

#: Flaws by name, in listing order.
GEOMETRY: dict[str, Defect] = {}

_defect = registering(GEOMETRY)


@_defect("FrameOfReferenceUID is missing")
def no_frame_of_reference(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    return without(files, "FrameOfReferenceUID")


@_defect(
    "the patient left the scanner between series: long-axis views have another frame of reference and other positions"
)
def two_frames_of_reference(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    for file in images(files):
        if file.view != "sax":
            file.dataset.FrameOfReferenceUID = uid(exam, "second frame of reference")
            position = zip(file.dataset.ImagePositionPatient, (14.0, -9.0, 31.0), strict=True)
            file.dataset.ImagePositionPatient = [number(float(value) + move) for value, move in position]
    return files


@_defect("PixelSpacing of the short-axis images is 0")
def zero_spacing(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    for file in images(files):
        if file.view == "sax":
            file.dataset.PixelSpacing = ["0", "0"]
    return files


@_defect("PixelSpacing of the 4ch view is missing")
def no_spacing(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    without([file for file in files if file.view == "4ch"], "PixelSpacing")
    return files
