"""The series of a heart exam: a short-axis stack with a series for each slice, 2ch, 4ch, and optional series."""

from __future__ import annotations

from pathlib import PurePosixPath

from planewise.phantoms.heart.cine_series import Series, series_files
from planewise.phantoms.heart.exam import Exam
from planewise.phantoms.scanner.dicom import DicomFile, Identity, uid
from planewise.phantoms.scanner.pose import localizer_poses

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
    for pose in localizer_poses(exam.heart.centre, 40.0):
        series = Series(
            "localizer", "localizer_1", "localizer", 1, pose, stream=1000 + len(files), phases=[0.0],
            matrix=(96, 96), spacing=4.0,
        )  # fmt: skip
        files += series_files(exam, series, identity, STUDY)
    for rank, file in enumerate(files):
        file.dataset.SeriesInstanceUID = uid(exam, "series", "localizer")
        file.dataset.InstanceNumber = rank + 1
        del file.dataset.TriggerTime
        file.path = file.path.with_name(f"IM-0001-{rank + 1:04d}.dcm")
        file.slice, file.phase = rank, 0
    return files
