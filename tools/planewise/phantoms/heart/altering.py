"""Find, change and add files of an exam, for several defects."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage

from planewise.phantoms.defect import Alter
from planewise.phantoms.heart.cine_series import Series, series_files
from planewise.phantoms.heart.exam import Exam
from planewise.phantoms.heart.study import STUDY
from planewise.phantoms.scanner.dicom import DicomFile, Identity, uid
from planewise.phantoms.scanner.pose import ImagePose

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


def without(keyword: str, view: str = "") -> Alter:
    """Return a defect that removes a header entry from the files, or from those of one view."""

    def alter(files: list[DicomFile], *_: object) -> list[DicomFile]:
        for file in images(files):
            if view in ("", file.view):
                file.dataset.pop(keyword, None)
        return files

    return alter


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
