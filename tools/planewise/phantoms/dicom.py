"""Phantom images as DICOM files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np
import pydicom
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from pydicom.valuerep import format_number_as_ds

from planewise.phantoms.exam import Exam
from planewise.phantoms.planes import ImagePose

#: RAS+ to DICOM's LPS and back.
LPS = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Identity:
    """Who the header says the patient is."""

    name: str
    patient_id: str
    birth_date: str = ""
    """YYYYMMDD, or empty"""


@dataclass
class DicomFile:
    """A file that is to be written: a dataset, or plain bytes where it is not (or no longer) DICOM."""

    path: PurePosixPath
    dataset: FileDataset | None = None
    content: bytes = b""
    view: str = ""
    """What is really on the picture, e.g. ``sax``"""
    slice: int = 0
    """Rank in its stack, from the base"""
    phase: int = 0
    """Rank in the cycle"""

    def encode(self) -> bytes:
        """The file's bytes."""
        if self.dataset is None:
            return self.content
        buffer = io.BytesIO()
        pydicom.dcmwrite(buffer, self.dataset)
        return buffer.getvalue()


@dataclass(frozen=True)
class Series:
    """One acquisition of one slice through the cycle, and how its header describes it."""

    view: str
    folder: str
    description: str
    number: int
    """Series number; also part of the file names"""
    pose: ImagePose
    slice: int = 0
    stream: int = 0
    """Number of the acquisition among those of its exam: names its noise, its breath-hold and its identifiers"""
    phases: Sequence[float] | None = None
    matrix: tuple[int, int] | None = None
    spacing: float | None = None

    def changed(self, **values: object) -> Series:
        """A copy with some values changed."""
        return replace(self, **values)


def uid(exam: Exam, *names: object) -> str:
    """A unique identifier that is the same each time the exam is made."""
    return generate_uid(entropy_srcs=["planewise phantom", *map(str, exam.seeds), *map(str, names)])


def series_files(exam: Exam, series: Series, identity: Identity, folder: PurePosixPath) -> list[DicomFile]:
    """Scans one series and describes every phase as a single-frame MR image."""
    phases = exam.phases if series.phases is None else np.asarray(series.phases)
    matrix, spacing = series.matrix or exam.scanner.matrix, series.spacing or exam.scanner.spacing
    images = exam.images(series.pose, series.stream, phases, matrix, spacing)
    # every series is a breath-hold of its own, with its own heart rate
    interval = exam.scanner.interval * exam.rng(series.stream, 1).uniform(0.96, 1.04)
    header = exam_header(exam, identity)
    set_geometry(header, series.pose, spacing, images.shape[1:])
    header.SeriesInstanceUID = uid(exam, "series", series.stream)
    header.SeriesDescription = header.ProtocolName = series.description
    header.SeriesNumber = series.number
    header.AcquisitionNumber = 1
    header.NominalInterval = round(interval)
    header.CardiacNumberOfImages = len(phases)
    header.WindowCenter = number(round(0.4 * float(images.max())))
    header.WindowWidth = number(round(0.8 * float(images.max())) + 1)
    files = []
    for rank, (pixels, phase) in enumerate(zip(images, phases, strict=True)):
        dataset = _image(header, uid(exam, "image", series.stream, rank))
        dataset.InstanceNumber = rank + 1
        seconds = 60 * series.number + rank
        dataset.AcquisitionTime = f"{10 + seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}.000000"
        dataset.TriggerTime = number(phase * interval)
        dataset.PixelData = pixels.astype("<u2").tobytes()
        path = folder / series.folder / f"IM-{series.number:04d}-{rank + 1:04d}.dcm"
        files.append(DicomFile(path, dataset, view=series.view, slice=series.slice, phase=rank))
    return files


def exam_header(exam: Exam, identity: Identity) -> Dataset:
    """What the headers of all images of an exam have in common."""
    scanner, patient = exam.scanner, exam.heart.patient
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 192"
    header.ImageType = ["ORIGINAL", "PRIMARY", "M", "RETRO", "NORM", "DIS2D"]
    header.SOPClassUID = MRImageStorage
    day = exam.rng(2).integers(0, 700)
    header.StudyDate = f"{2012 + day // 336}{1 + day % 336 // 28:02d}{1 + day % 28:02d}"
    header.SeriesDate = header.AcquisitionDate = header.ContentDate = header.StudyDate
    header.StudyTime = "100000.000000"
    header.Modality = "MR"
    header.Manufacturer = "planewise"
    header.ManufacturerModelName = "phantom"
    header.PatientName = identity.name
    header.PatientID = identity.patient_id
    header.PatientBirthDate = identity.birth_date
    header.PatientSex = patient.sex
    header.PatientSize = number(patient.height / 100)
    header.PatientWeight = number(patient.weight)
    header.BodyPartExamined = "HEART"
    header.PatientPosition = "HFS"
    header.ScanningSequence = "GR"
    header.SequenceVariant = "SK"
    header.ScanOptions = ["CG", "PER"]
    header.MRAcquisitionType = "2D"
    header.SequenceName = "*tfi2d1_12"
    header.SliceThickness = number(scanner.thickness)
    header.SpacingBetweenSlices = number(scanner.distance)
    header.RepetitionTime = number(scanner.interval / max(scanner.phases, 1))
    header.EchoTime = "1.4"
    header.MagneticFieldStrength = number(scanner.field_strength)
    header.FlipAngle = "55"
    header.StudyInstanceUID = uid(exam, "study")
    header.FrameOfReferenceUID = uid(exam, "frame of reference")
    header.PositionReferenceIndicator = ""
    header.StudyID = "1"
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.BitsAllocated = 16
    header.BitsStored = 12
    header.HighBit = 11
    header.PixelRepresentation = 0
    header.BurnedInAnnotation = "NO"
    return header


def set_geometry(header: Dataset, pose: ImagePose, spacing: float, shape: tuple[int, int]) -> None:
    """Writes an image's place into its header; the one step from RAS+ to LPS.

    Args:
        header: changed in place.
        pose: of the image.
        spacing: mm.
        shape: rows and columns.
    """
    corner = pose.affine((spacing, spacing), (shape[1], shape[0]), 1.0)[:3, 3]
    header.ImagePositionPatient = [number(value) for value in LPS * corner]
    header.ImageOrientationPatient = [number(value) for value in [*(LPS * pose.row), *(LPS * pose.column)]]
    header.SliceLocation = number(corner @ pose.normal)
    header.Rows, header.Columns = shape
    header.PixelSpacing = [number(spacing), number(spacing)]


def number(value: float) -> str:
    """A decimal string of at most 16 characters, as exact as they allow."""
    return format_number_as_ds(float(value))


def _image(header: Dataset, name: str) -> FileDataset:
    """A file's dataset with a copy of a header, under a SOP instance UID of its own."""
    meta = FileMetaDataset()
    meta.FileMetaInformationGroupLength = 0
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = name
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    # the constructor's arguments say the encoding to pydicom 2 as well as to 3; it would copy the meta header deeply
    dataset = FileDataset("", Dataset(), preamble=b"\x00" * 128, is_implicit_VR=False, is_little_endian=True)
    dataset.file_meta = meta
    for element in header:
        # elements of their own, since a defect changes one image and not its fellows; values were checked before
        dataset.add(DataElement(element.tag, element.VR, element.value, already_converted=True))
    dataset.SOPInstanceUID = name
    return dataset
