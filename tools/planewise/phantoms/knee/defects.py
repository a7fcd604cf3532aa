"""Flaws of real knee exams, written on demand to test readers."""

from __future__ import annotations

import numpy as np

from planewise.phantoms.defect import Defect, keeping, plant_identity, registering, with_ghosts
from planewise.phantoms.knee.exam import KneeExam
from planewise.phantoms.knee.series import KneeSeries, series_files
from planewise.phantoms.knee.study import localizer_series, series_folder
from planewise.phantoms.scanner.dicom import DicomFile, Identity
from planewise.phantoms.scanner.pose import ImagePose, rotation

Files = list[DicomFile]

#: Number of a series that a defect adds. Exams without defects have lower numbers.
ADDED = 60

#: Rotation of a sagittal stack that follows no anatomy, radians.
TURN = np.radians(25.0)

#: Flaws by name, in listing order.
KNEE_DEFECTS: dict[str, Defect] = {}

_defect = registering(KNEE_DEFECTS)


KNEE_DEFECTS["missing_axial"] = Defect("the axial series is missing", keeping(lambda file: file.view != "axial"))
KNEE_DEFECTS["missing_coronal"] = Defect("the coronal series is missing", keeping(lambda file: file.view != "coronal"))


@_defect("the only sagittal series is proton density weighted without fat suppression")
def plain_sagittal_only(files: Files, exam: KneeExam, identity: Identity) -> Files:
    others = [file for file in files if file.view != "sagittal"]
    return others + _scan(exam, identity, "sagittal_plain", "SAG PD")


@_defect("only the localizer was scanned")
def localizer_only(files: Files, exam: KneeExam, identity: Identity) -> Files:
    return series_files(exam, localizer_series(exam), identity)


@_defect(
    "the sagittal series with fat suppression was scanned twice: first with motion ghosts, then without at the end"
)
def repeated_sagittal(files: Files, exam: KneeExam, identity: Identity) -> Files:
    for file in _suppressed_sagittal(files):
        file.pixels = with_ghosts(file.pixels)
    return files + _scan(exam, identity, "sagittal", "SAG T2 FS")


@_defect("the axial series is named SAG T2 FS")
def lying_names(files: Files, exam: KneeExam, identity: Identity) -> Files:
    for file in files:
        if file.view == "axial":
            file.dataset.SeriesDescription = file.dataset.ProtocolName = "SAG T2 FS"
    return files


@_defect(
    "the sagittal series with fat suppression is rotated by 25 degrees about the leg, so that it follows no anatomy"
)
def oblique_sagittal(files: Files, exam: KneeExam, identity: Identity) -> Files:
    spin = rotation(exam.knee.middle_line, TURN)
    stack = exam.poses["sagittal"]
    middle = np.mean([pose.centre for pose in stack], axis=0)
    turned = [ImagePose(middle + spin @ (pose.centre - middle), spin @ pose.row, spin @ pose.column) for pose in stack]
    old = _suppressed_sagittal(files)
    kept = [file for file in files if all(file is not other for other in old)]
    return kept + _scan(exam, identity, "sagittal", "SAG T2 FS", turned)


@_defect(
    "the patient lies feet first, and images are stored upside down (the first row is at the feet); positions are right"
)
def feet_first(files: Files, exam: KneeExam, identity: Identity) -> Files:
    for file in files:
        dataset = file.dataset
        dataset.PatientPosition = "FFS"
        file.pixels = file.pixels[::-1]
        orientation = np.array(dataset.ImageOrientationPatient, dtype=float)
        step = orientation[3:] * float(dataset.PixelSpacing[0]) * (dataset.Rows - 1)
        place = np.array(dataset.ImagePositionPatient, dtype=float) + step
        dataset.ImagePositionPatient = [f"{value:.10g}" for value in place]
        dataset.ImageOrientationPatient = [f"{value:.12g}" for value in [*orientation[:3], *-orientation[3:]]]
    return files


@_defect("no series has a description")
def no_descriptions(files: Files, exam: KneeExam, identity: Identity) -> Files:
    for file in files:
        for keyword in ("SeriesDescription", "ProtocolName"):
            file.dataset.pop(keyword, None)
    return files


@_defect("identity everywhere: name, birth date, numbers, addresses, and folders named after the patient")
def identity(files: Files, exam: KneeExam, identity: Identity) -> Files:
    return plant_identity(files, identity, "Knie")


def _suppressed_sagittal(files: list[DicomFile]) -> list[DicomFile]:
    """The files of the sagittal series whose scan options show fat suppression."""
    return [file for file in files if file.view == "sagittal" and any("FS" in str(option) for option in _options(file))]


def _options(file: DicomFile) -> list[str]:
    """Scan options, which pydicom returns as text if there is only one."""
    options = file.dataset.ScanOptions or []
    return [options] if isinstance(options, str) else list(options)


def _scan(
    exam: KneeExam, identity: Identity, name: str, description: str, poses: list[ImagePose] | None = None
) -> list[DicomFile]:
    """Scan an additional series with a protocol of the scanner."""
    folder = series_folder(exam, ADDED, description)
    view, protocol = name.removesuffix("_plain"), exam.scanner.protocols[name]
    return series_files(
        exam, KneeSeries(view, folder, description, ADDED, poses or exam.poses[name], protocol), identity
    )
