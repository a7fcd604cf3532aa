"""The files of a heart exam: DICOM series of one slice through the cycle, and volumes with masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from pydicom.dataset import Dataset

from planewise.workshop.phantoms.files import (
    DicomFile,
    Identity,
    NiftiFile,
    image_dataset,
    number,
    series_header,
    set_geometry,
    uid,
)
from planewise.workshop.phantoms.heart.exam import Exam
from planewise.workshop.phantoms.imaging import ImagePose, localizer_poses


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
    brightest = 0.8 * float(images.max())
    header = series_header(exam, identity, series.stream, series.number, series.description, brightest)
    _describe_cine(header, exam)
    set_geometry(header, series.pose, spacing, images.shape[1:])
    header.NominalInterval = round(interval)
    header.CardiacNumberOfImages = len(phases)
    files = []
    for rank, (pixels, phase) in enumerate(zip(images, phases, strict=True)):
        name = uid(exam, "image", series.stream, rank)
        dataset = image_dataset(header, name, rank, 60 * series.number + rank, pixels)
        dataset.TriggerTime = number(phase * interval)
        path = folder / series.folder / f"IM-{series.number:04d}-{rank + 1:04d}.dcm"
        files.append(DicomFile(path, dataset, series.view))
    return files


def _describe_cine(header: Dataset, exam: Exam) -> None:
    """Add the header entries that describe a cine's sequence, in place."""
    scanner = exam.scanner
    header.ImageType = ["ORIGINAL", "PRIMARY", "M", "RETRO", "NORM", "DIS2D"]
    header.BodyPartExamined = "HEART"
    header.PatientPosition = "HFS"
    header.ScanningSequence = "GR"
    header.ScanOptions = ["CG", "PER"]
    header.SequenceName = "*tfi2d1_12"
    header.SliceThickness = number(scanner.thickness)
    header.SpacingBetweenSlices = number(scanner.distance)
    header.RepetitionTime = number(scanner.interval / max(scanner.phases, 1))
    header.EchoTime = "1.4"
    header.FlipAngle = "55"


#: Folder, below the exam's folder, that contains all series.
STUDY = PurePosixPath("study")


def study_files(exam: Exam, identity: Identity, extra_views: float = 0.0) -> list[DicomFile]:
    """The files of an exam: the short-axis stack with a series for each slice, 2ch and 4ch.

    Args:
        exam: the exam to scan.
        identity: identity of the patient.
        extra_views: probability that additional series are acquired.
    """
    planned = plan_series(exam)
    files = [file for series in planned for file in series_files(exam, series, identity, STUDY)]
    rng = exam.rng(4)
    if rng.random() < extra_views:
        files = localizer_files(exam, identity) + files
        number = planned[-1].number
        for view, neighbour in (("3ch", "4ch"), ("rv_2ch", "2ch"), ("rvot", "rvot")):
            # technologists copy a protocol for the next view and forget to rename it
            name = neighbour if rng.random() < 0.5 else view
            number += int(rng.integers(1, 4))
            matrix = exam.scanner.matrix[::-1]
            pose = exam.poses[view][0]
            series = Series(view, f"{name}_{number}", name, number, pose, stream=number, matrix=matrix)
            files += series_files(exam, series, identity, STUDY)
    return files


def plan_series(exam: Exam) -> list[Series]:
    """The series of an exam, in the order of their numbers."""
    rng = exam.rng(3)
    columns, rows = exam.scanner.matrix
    number = int(rng.integers(2, 6))
    planned = []
    for view in ("2ch", "4ch"):
        matrix = (columns, rows) if view == "4ch" else (rows, columns)
        pose = exam.poses[view][0]
        planned.append(Series(view, f"{view}_{number}", view, number, pose, stream=number, matrix=matrix))
        number += int(rng.integers(1, 4))
    order = list(range(len(exam.poses["sax"])))
    # most stacks are numbered from base to apex, but some begin at the apex, and some are interrupted and resumed
    if rng.random() < 0.2:
        order.reverse()
    if rng.random() < 0.3:
        cut = int(rng.integers(1, len(order)))
        order = order[cut:] + order[:cut]
    for rank in order:
        pose = exam.poses["sax"][rank]
        planned.append(Series("sax", f"sax_{number}", "sax", number, pose, rank, stream=number))
        number += 1 + int(rng.random() < 0.1)
    return planned


def localizer_files(exam: Exam, identity: Identity) -> list[DicomFile]:
    """Axial, coronal and sagittal pictures in one series, three of each."""
    files = []
    for rank, pose in enumerate(localizer_poses(exam.heart.centre, 40.0)):
        series = Series(
            "localizer", "localizer_1", "localizer", 1, pose, stream=1000 + rank, phases=[0.0], matrix=(96, 96), spacing=4.0
        )  # fmt: skip
        (file,) = series_files(exam, series, identity, STUDY)
        file.dataset.SeriesInstanceUID = uid(exam, "series", "localizer")
        file.dataset.InstanceNumber = rank + 1
        del file.dataset.TriggerTime
        files.append(file._replace(path=file.path.with_name(f"IM-0001-{rank + 1:04d}.dcm")))
    return files


#: Acquisition number of each view's first slice; the numbers of further short-axis slices increase by one.
VIEW_STREAMS = {"sax": 0, "2ch": 101, "4ch": 100}


def view_files(
    exam: Exam, view: str, codes: Mapping[int, int] | None, cine: str, frame: str = "", mask: str = ""
) -> list[NiftiFile]:
    """The files of a view: its cine and, at end-diastole and end-systole, its frame and its mask.

    Args:
        exam: the exam to scan.
        view: ``"sax"`` (from base to apex), ``"2ch"`` or ``"4ch"``.
        codes: maps labels of `Heart.label` to labels of the data set; all others become background. Without codes, there is
            only the cine.
        cine: name of the cine's file, without its ending.
        frame, mask: patterns for the names of the other files, with ``{0}`` for ED or ES and ``{1}`` for the number of the
            frame, from 1.
    """
    slices = list(enumerate(exam.poses[view], start=VIEW_STREAMS[view]))
    images = np.stack([exam.images(pose, stream) for stream, pose in slices])
    volume, affine = images.transpose(3, 2, 0, 1).astype(np.int16), view_affine(exam, view)
    files = [NiftiFile(f"{cine}.nii.gz", volume, affine, exam.step)]
    for phase, rank in (("ED", 0), ("ES", exam.end_systole)) if codes else ():
        drawn = np.stack([exam.mask(pose, stream, exam.phases[rank]) for stream, pose in slices]).transpose(2, 1, 0)
        table = np.zeros(256, dtype=np.uint8)
        table[list(codes)] = list(codes.values())
        for pattern, content in ((frame, volume[..., rank]), (mask, table[drawn])):
            files.append(NiftiFile(f"{pattern.format(phase, rank + 1)}.nii.gz", content, affine))
    return files


def view_affine(exam: Exam, view: str) -> np.ndarray:
    """The affine ``(4, 4)`` from voxel indices of a view's volume to patient space, RAS+, mm."""
    poses, scanner = exam.poses[view], exam.scanner
    affine = poses[0].affine((scanner.spacing, scanner.spacing), scanner.matrix, scanner.thickness)
    if len(poses) > 1:
        # the direction from slice to slice may be along the images' normal or against it
        affine[:3, 2] = poses[1].centre - poses[0].centre
    return affine
