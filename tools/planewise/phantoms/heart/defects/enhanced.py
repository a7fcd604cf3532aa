"""Combine the single-frame images of a view into one multi-frame Enhanced MR image."""

from __future__ import annotations

from copy import deepcopy

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage

from planewise.phantoms.heart.exam import Exam
from planewise.phantoms.heart.study import STUDY
from planewise.phantoms.scanner.dicom import DicomFile, uid


def enhanced_file(files: list[DicomFile], exam: Exam, view: str) -> DicomFile:
    """Combine all images of a view as the frames of one Enhanced MR image."""
    first = files[0].dataset
    dataset = deepcopy(first)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid(exam, "enhanced", view)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "CINE", "NONE"]
    for keyword in (
        "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices",
        "SliceLocation", "TriggerTime", "NominalInterval", "WindowCenter", "WindowWidth", "InstanceNumber",
    ):  # fmt: skip
        dataset.pop(keyword, None)
    dataset.InstanceNumber = 1
    dataset.NumberOfFrames = len(files)
    measures = Dataset()
    measures.PixelSpacing = first.PixelSpacing
    measures.SliceThickness = first.SliceThickness
    measures.SpacingBetweenSlices = first.SpacingBetweenSlices
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([measures])
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = Sequence([_frame(file) for file in files])
    dataset.PixelData = b"".join(file.dataset.PixelData for file in files)
    return DicomFile(STUDY / f"{view}_enhanced" / "IM-0001-0001.dcm", dataset, view=view)


def _frame(file: DicomFile) -> Dataset:
    """The functional groups of one frame."""
    source = file.dataset
    content, position, orientation, frame = Dataset(), Dataset(), Dataset(), Dataset()
    content.StackID = file.view
    content.InStackPositionNumber = file.slice + 1
    content.TemporalPositionIndex = file.phase + 1
    content.DimensionIndexValues = [1, file.slice + 1, file.phase + 1]
    position.ImagePositionPatient = source.ImagePositionPatient
    orientation.ImageOrientationPatient = source.ImageOrientationPatient
    frame.FrameContentSequence = Sequence([content])
    frame.PlanePositionSequence = Sequence([position])
    frame.PlaneOrientationSequence = Sequence([orientation])
    if "TriggerTime" in source:
        trigger = Dataset()
        trigger.NominalCardiacTriggerDelayTime = float(source.TriggerTime)
        frame.CardiacSynchronizationSequence = Sequence([trigger])
    return frame
