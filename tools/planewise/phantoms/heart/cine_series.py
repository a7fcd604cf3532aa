"""Write series of a beating heart as DICOM files: one slice through the cycle, with a file for each phase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from pydicom.dataset import Dataset

from planewise.phantoms.heart.exam import Exam
from planewise.phantoms.scanner.dicom import DicomFile, Identity, exam_header, image_dataset, number, set_geometry, uid
from planewise.phantoms.scanner.pose import ImagePose


@dataclass(frozen=True)
class Series:
    """One acquisition of one slice through the cycle, and its description in the header."""

    view: str
    folder: str
    description: str
    number: int
    """Series number, which is also part of the file names"""
    pose: ImagePose
    slice: int = 0
    stream: int = 0
    """Number of the acquisition in its exam, which determines its noise, its breath-hold and its identifiers"""
    phases: Sequence[float] | None = None
    matrix: tuple[int, int] | None = None
    spacing: float | None = None


def series_files(exam: Exam, series: Series, identity: Identity, folder: PurePosixPath) -> list[DicomFile]:
    """Scan one series, and describe every phase as a single-frame MR image."""
    phases = exam.phases if series.phases is None else np.asarray(series.phases)
    matrix, spacing = series.matrix or exam.scanner.matrix, series.spacing or exam.scanner.spacing
    images = exam.images(series.pose, series.stream, phases, matrix, spacing)
    # every series has its own breath-hold, with its own heart rate
    interval = exam.scanner.interval * exam.rng(series.stream, 1).uniform(0.96, 1.04)
    header = exam_header(exam, identity)
    _describe_cine(header, exam)
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
        dataset = image_dataset(header, uid(exam, "image", series.stream, rank))
        dataset.InstanceNumber = rank + 1
        seconds = 60 * series.number + rank
        dataset.AcquisitionTime = f"{10 + seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}.000000"
        dataset.TriggerTime = number(phase * interval)
        dataset.PixelData = pixels.astype("<u2").tobytes()
        path = folder / series.folder / f"IM-{series.number:04d}-{rank + 1:04d}.dcm"
        files.append(DicomFile(path, dataset, view=series.view, slice=series.slice, phase=rank))
    return files


def _describe_cine(header: Dataset, exam: Exam) -> None:
    """Add the header entries that describe a cine's sequence, in place."""
    scanner = exam.scanner
    header.ImageType = ["ORIGINAL", "PRIMARY", "M", "RETRO", "NORM", "DIS2D"]
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
    header.FlipAngle = "55"
