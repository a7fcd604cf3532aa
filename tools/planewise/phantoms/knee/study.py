"""The series of a knee exam: sagittal with fat suppression, coronal, axial, and optional series."""

from __future__ import annotations

import numpy as np

from planewise.phantoms.knee.exam import KneeExam
from planewise.phantoms.knee.scanner import Protocol
from planewise.phantoms.knee.series import KneeSeries, series_files
from planewise.phantoms.scanner.dicom import DicomFile, Identity
from planewise.phantoms.scanner.pose import localizer_poses

#: Technologists' names for a view.
VIEW_NAMES = {
    "sagittal": ("SAG", "Sag", "sag", "SAGITTAL"),
    "coronal": ("COR", "Cor", "cor", "CORONAL"),
    "axial": ("AX", "Ax", "ax", "AXIAL", "TRA"),
}

#: Technologists' names for a weighting.
WEIGHTING_NAMES = {
    "t2_fs": ("T2 FS", "t2_tse_fs", "T2 FSE FS", "T2 FATSAT", "t2_fse_fs"),
    "pd_fs": ("PD FS", "pd_tse_fs", "PD FATSAT", "PD FSE FS"),
    "pd": ("PD", "pd_tse", "PD FSE", "DP TSE"),
    "t1": ("T1", "t1_tse", "T1 FSE"),
}

#: Descriptions that do not name the plane; None leaves the header without a description.
POOR_NAMES = ("KNEE", "fse", "Series", "post motion", None)


def study_files(
    exam: KneeExam, identity: Identity, plain_sagittal: float = 0.0, localizer: float = 0.0, poor_names: float = 0.0
) -> list[DicomFile]:
    """The files of an exam: sagittal with fat suppression, coronal, axial, and optional series.

    Args:
        exam: the exam to scan.
        identity: identity of the patient.
        plain_sagittal: probability of a sagittal series without fat suppression.
        localizer: probability of a localizer.
        poor_names: probability that the description of a series does not name its plane.
    """
    planned = plan_series(exam, plain_sagittal, poor_names)
    files = [file for series in planned for file in series_files(exam, series, identity)]
    if exam.rng(5).random() < localizer:
        files = series_files(exam, localizer_series(exam), identity) + files
    return files


def plan_series(exam: KneeExam, plain_sagittal: float = 0.0, poor_names: float = 0.0) -> list[KneeSeries]:
    """The series of an exam, in the order of their numbers."""
    rng = exam.rng(3)
    names = ["sagittal", "coronal", "axial"]
    if rng.random() < plain_sagittal:
        names.append("sagittal_plain")
    rng.shuffle(names)
    number = int(rng.integers(2, 5))
    planned = []
    for name in names:
        view, protocol = name.removesuffix("_plain"), exam.scanner.protocols[name]
        description: str | None = describe(view, protocol.weighting, rng)
        if rng.random() < poor_names:
            description = POOR_NAMES[rng.integers(len(POOR_NAMES))]
        folder = series_folder(exam, number, description)
        planned.append(KneeSeries(view, folder, description, number, exam.poses[name], protocol))
        number += int(rng.integers(1, 3))
    return planned


def describe(view: str, weighting: str, rng: np.random.Generator) -> str:
    """A series description in the style of a technologist."""
    plane, kind = (str(rng.choice(names)) for names in (VIEW_NAMES[view], WEIGHTING_NAMES[weighting]))
    words = [kind, plane] if rng.random() < 0.25 else [plane, kind]
    return ("_" if "_" in kind else " ").join(words)


def series_folder(exam: KneeExam, number: int, description: str | None) -> str:
    """Folder of a series below the exam's folder."""
    name = "".join(letter if letter.isalnum() else "_" for letter in description or "")
    return f"study_{exam.seeds[-1]}/MR{number}_{name}"


def localizer_series(exam: KneeExam) -> KneeSeries:
    """Axial, coronal and sagittal pictures in one series, three of each, along the scanner's axes."""
    usual = exam.scanner.protocols["coronal"]
    side = usual.spacing * usual.matrix[0] * 1.3
    # coarse, fast images
    columns = max(4 * round(usual.matrix[0] / 8), 16)
    protocol = Protocol("t1", round(side / columns, 4), (columns, columns), 6.0, 16.0, usual.contrast, 0.0)
    poses = localizer_poses(exam.knee.centre, 22.0)
    return KneeSeries("localizer", series_folder(exam, 1, "3-pl loc"), "3-pl loc", 1, poses, protocol)
