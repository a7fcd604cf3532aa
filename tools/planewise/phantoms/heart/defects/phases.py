"""Defects of slices and phases: missing, repeated, unequal, or out of order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np

from planewise.phantoms.defect import Defect, registering, with_ghosts
from planewise.phantoms.heart.defects.files import ADDED, by_series, images, without
from planewise.phantoms.heart.defects.scanning import acquire, again
from planewise.phantoms.heart.exam import Exam
from planewise.phantoms.scanner.dicom import DicomFile, Identity

#: Flaws by name, in listing order.
SLICES: dict[str, Defect] = {}

_defect = registering(SLICES)


@_defect("a middle slice was acquired twice: first with motion ghosts, then without at the end of the exam")
def repeated_slice(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    stack = [file for file in files if file.view == "sax"]
    middle = len(exam.poses["sax"]) // 2
    good = [file for file in stack if file.slice == middle]
    pose = exam.poses["sax"][middle]
    second = acquire(exam, identity, "sax", "sax", ADDED, pose, slice=middle)
    for file in good:
        file.pixels = with_ghosts(file.pixels)
    return files + second


@_defect("files are missing: the last phase of one slice, a middle phase of the next")
def missing_phases(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    gone = {(1, exam.scanner.phases - 1), (2, exam.scanner.phases // 2)}
    return [file for file in files if file.view != "sax" or (file.slice, file.phase) not in gone]


@_defect("long-axis views have fewer phases than the short axis (DSBCC 416: 30 and 21)")
def unequal_phases(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    count = max(2, round(0.7 * exam.scanner.phases))
    phases = np.arange(count) / count
    return again(files, exam, identity, lambda file: file.view in ("2ch", "4ch"), phases=phases)


@_defect("three basal slices have another matrix and pixel spacing than the rest of the stack")
def mixed_matrix(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    columns, rows = exam.scanner.matrix
    return again(
        files,
        exam,
        identity,
        lambda file: file.view == "sax" and file.slice < 3,
        matrix=(4 * round(columns / 5), 4 * round(rows / 5)),
        spacing=round(exam.scanner.spacing * 1.25, 4),
    )


@_defect("the short-axis stack has only one slice")
def single_slice(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    middle = len(exam.poses["sax"]) // 2
    return [file for file in files if file.view != "sax" or file.slice == middle]


@_defect("TriggerTime is missing; only InstanceNumber gives the order of the phases")
def no_trigger_time(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    return without(files, "TriggerTime")


@_defect("series numbers, instance numbers and file names are in random order; TriggerTime and positions are right")
def scrambled_order(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    rng = exam.rng(11)
    pictures = images(files)
    series = sorted({file.dataset.SeriesNumber for file in pictures})
    renumbered = dict(zip(series, rng.permutation(series), strict=True))
    for _, group in by_series(pictures):
        numbers = rng.permutation(len(group)) + 1
        for file, instance in zip(group, numbers, strict=True):
            file.dataset.InstanceNumber = int(instance)
            file.path = file.path.with_name(f"{rng.integers(16**8):08x}.dcm")
    for file in pictures:
        file.dataset.SeriesNumber = int(renumbered[file.dataset.SeriesNumber])
    rng.shuffle(files)
    return files


@_defect("one series appears twice in the tree, as in some exports")
def copied(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    double = [file for file in files if file.view == "sax" and file.slice == 1]
    return files + [replace(file, path=PurePosixPath("copy") / file.path) for file in double]
