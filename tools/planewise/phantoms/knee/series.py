"""Write series of a knee as DICOM files, with one image per slice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from pydicom.dataset import Dataset

from planewise.phantoms.knee.exam import KneeExam
from planewise.phantoms.knee.scanner import Protocol
from planewise.phantoms.scanner.dicom import DicomFile, Identity, exam_header, image_dataset, number, set_geometry, uid
from planewise.phantoms.scanner.pose import ImagePose

#: Ranges of repetition times and of echo times for each weighting, ms.
TIMES = {"t2_fs": ((3200, 5200), (50, 76)), "pd_fs": ((2400, 3800), (27, 42)), "pd": ((2200, 3600), (24, 38)),
         "t1": ((480, 760), (9, 18))}  # fmt: skip


@dataclass(frozen=True)
class KneeSeries:
    """One scanned stack, and its description in the header."""

    view: str
    """True content: ``sagittal``, ``coronal``, ``axial``, ``localizer``"""
    folder: str
    description: str | None
    """Series description; None leaves it out of the header"""
    number: int
    """Series number, which also determines the noise and the identifiers"""
    poses: list[ImagePose]
    protocol: Protocol


def series_files(exam: KneeExam, series: KneeSeries, identity: Identity) -> list[DicomFile]:
    """Scan one series, and describe every slice as a single-frame MR image."""
    images = [
        np.clip(np.round(exam.image(pose, series.protocol, series.number, rank)), 0, 4095).astype(np.uint16)
        for rank, pose in enumerate(series.poses)
    ]
    header = exam_header(exam, identity)
    _describe_sequence(header, exam, series)
    header.SeriesInstanceUID = uid(exam, "series", series.number)
    if series.description is not None:
        header.SeriesDescription = header.ProtocolName = series.description
    header.SeriesNumber = series.number
    header.AcquisitionNumber = 1
    brightest = float(np.percentile(images, 99.5))
    header.WindowCenter = number(round(brightest / 2))
    header.WindowWidth = number(round(brightest) + 1)
    files = []
    for rank, (pixels, pose) in enumerate(zip(images, series.poses, strict=True)):
        dataset = image_dataset(header, uid(exam, "image", series.number, rank))
        set_geometry(dataset, pose, series.protocol.spacing, pixels.shape)
        dataset.InstanceNumber = rank + 1
        seconds = 180 * series.number + rank
        dataset.AcquisitionTime = f"{10 + seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}.000000"
        dataset.PixelData = pixels.astype("<u2").tobytes()
        path = PurePosixPath(series.folder) / f"{rank + 1:04d}.dcm"
        files.append(DicomFile(path, dataset, view=series.view, slice=rank))
    return files


def _describe_sequence(header: Dataset, exam: KneeExam, series: KneeSeries) -> None:
    """Add the header values of a spin echo sequence, in place."""
    protocol = series.protocol
    rng = exam.rng(series.number, 3)
    repetition, echo = (float(np.round(rng.uniform(*span))) for span in TIMES[protocol.weighting])
    suppressed = protocol.weighting.endswith("_fs")
    header.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    header.BodyPartExamined = "KNEE"
    header.PatientPosition = "FFS" if exam.scanner.feet_first else "HFS"
    header.Laterality = "L" if exam.patient.left else "R"
    header.ScanningSequence = "SE"
    header.SequenceVariant = "SK"
    # manufacturers write fat saturation in different ways
    options = rng.choice(["FS", "SFS", "PFP\\FS"]) if suppressed else rng.choice(["", "PFP"])
    header.ScanOptions = str(options).split("\\")
    header.MRAcquisitionType = "2D"
    header.SequenceName = "*tse2d1_9" if protocol.weighting != "t1" else "*tse2d1_3"
    header.SliceThickness = number(protocol.thickness)
    header.SpacingBetweenSlices = number(protocol.distance)
    header.RepetitionTime = number(repetition)
    header.EchoTime = number(echo)
    header.EchoTrainLength = 9 if protocol.weighting != "t1" else 3
    header.FlipAngle = "150"
