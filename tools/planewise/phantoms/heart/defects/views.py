"""Defects of views and planes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from planewise.phantoms.defect import Defect, registering
from planewise.phantoms.heart.defects.files import ADDED, images
from planewise.phantoms.heart.defects.scanning import acquire, again
from planewise.phantoms.heart.exam import Exam
from planewise.phantoms.heart.heart import Heart
from planewise.phantoms.heart.study import STUDY, study_files
from planewise.phantoms.scanner.dicom import DicomFile, Identity
from planewise.phantoms.scanner.pose import ImagePose

#: Flaws by name, in listing order.
VIEWS: dict[str, Defect] = {}

_defect = registering(VIEWS)


@_defect("the 4ch view is missing")
def missing_view(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    return [file for file in files if file.view != "4ch"]


@_defect("series have wrong names: 2ch and 4ch are swapped, a 3ch is called 4CH, a right ventricular view 2CH")
def lying_names(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    swapped = {"2ch": "4ch", "4ch": "2ch"}
    for file in images(files):
        if file.view in swapped:
            folder = file.path.parent.name.replace(file.view, swapped[file.view])
            file.path = STUDY / folder / file.path.name
            file.dataset.SeriesDescription = file.dataset.ProtocolName = f"cine {swapped[file.view].upper()}"
    for rank, (view, name) in enumerate((("3ch", "4CH"), ("rv_2ch", "2CH"))):
        pose = exam.poses[view][0]
        files += acquire(exam, identity, view, f"cine {name}", ADDED + rank, pose, matrix=exam.scanner.matrix[::-1])
    return files


@_defect("the view called 2ch is parallel to the short axis, so the two have no line of intersection")
def parallel_planes(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    middle = exam.poses["sax"][len(exam.poses["sax"]) // 2]
    return again(files, exam, identity, lambda file: file.view == "2ch", pose=middle, matrix=exam.scanner.matrix)


@_defect("dextrocardia: the heart is in the right chest, a mirror image of the usual one")
def dextrocardia(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    mirror = np.diag([-1.0, 1.0, 1.0])
    heart = exam.heart
    mirrored = Heart(heart.patient, heart.shape, mirror @ heart.centre, heart.axes @ mirror)
    # a technologist rotates the planes with the heart, but never mirrors an image
    poses = {
        view: [ImagePose(mirror @ pose.centre, -(mirror @ pose.row), mirror @ pose.column) for pose in stack]
        for view, stack in exam.poses.items()
    }
    return study_files(replace(exam, heart=mirrored, poses=poses), identity)
