"""Define defects, and register them under their names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from planewise.phantoms.scanner.dicom import DicomFile, Identity
from planewise.phantoms.scanner.nifti import NiftiFile

Alter = Callable[[list[DicomFile], Any, Identity], list[DicomFile]]
"""A function that takes the files, the exam and the identity of an exam, and returns the files with a flaw"""


@dataclass(frozen=True)
class Defect:
    """A flaw: a description in one line, and the function that adds it to the files of an exam."""

    what: str
    alter: Alter


def registering(table: dict[str, Defect]) -> Callable[[str], Callable[[Alter], Alter]]:
    """Return a decorator for defects, which takes a description and adds the function to a table under the function's
    name."""

    def defect(what: str) -> Callable[[Alter], Alter]:
        def register(alter: Alter) -> Alter:
            table[alter.__name__] = Defect(what, alter)
            return alter

        return register

    return defect


def keeping(wanted: Callable[[Any], bool]) -> Alter:
    """Return a defect that keeps only the wanted files."""
    return lambda files, exam, identity: [file for file in files if wanted(file)]


def changing(change: Callable[[Any], Any], name: str = "") -> Alter:
    """Return a defect that replaces the files with this name, or all files, by ``change(file)``."""
    return lambda files, exam, identity: [change(file) if name in ("", file.name) else file for file in files]


#: Changes no file. It is for a defect of the data set's table, which the layout's writer makes when it finds the name.
unchanged = keeping(lambda file: True)


def displaced(file: NiftiFile) -> NiftiFile:
    """A volume whose header places it 20 mm further along its first axis."""
    affine = file.affine.copy()
    affine[:3, 3] += 20.0 * affine[:3, 0] / np.linalg.norm(affine[:3, 0])
    return replace(file, affine=affine)


def with_ghosts(pixels: np.ndarray) -> np.ndarray:
    """Add motion ghosts to an image ``(rows, columns)``: faint copies of the image, moved up and down."""
    rows = pixels.shape[0]
    return pixels // 2 + np.roll(pixels, rows // 5, axis=0) // 3 + np.roll(pixels, -rows // 7, axis=0) // 3


def plant_identity(files: list[DicomFile], identity: Identity, organ: str) -> list[DicomFile]:
    """Write a person's name and identifiers into every header field and folder name that may contain them.

    Args:
        files: the files, which are changed in place.
        identity: the identity to write. A made-up name replaces a name that is only a number.
        organ: organ named in the study's description.
    """
    name, birth_date = identity.name, identity.birth_date or "19540317"
    if "^" not in name:
        name = "Mustermann^Erika"
    for file in files:
        family = name.replace("^", "_")
        file.path = PurePosixPath(f"{family}_{birth_date}") / file.path
        # another defect may have emptied or truncated the file
        if file.dataset is None:
            continue
        dataset = file.dataset
        dataset.PatientName = name
        dataset.PatientID = "MRN-0047110815"
        dataset.PatientBirthDate = birth_date
        dataset.OtherPatientNames = "Gabler^Erika"
        dataset.PatientAddress = "Heidestrasse 17, Koeln"
        dataset.AccessionNumber = "ACC20130077"
        dataset.InstitutionName = "Klinikum am Rosengarten"
        dataset.ReferringPhysicianName = "Sauerbruch^Ferdinand"
        dataset.StudyDescription = f"{organ} {name}"
        dataset.PatientComments = f"{name} geb. {birth_date}"
    return files
