"""Extract what a defect changes in the files of an exam, for comparison with the defect's description."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from typing import NamedTuple

import numpy as np
import pydicom
from planewise.phantoms.scanner.dicom import Identity

IDENTITY = Identity("1", "3-1")
#: The header entries in which the defect ``identity`` writes a person's name and numbers.
IDENTITY_HEADERS = (
    "AccessionNumber InstitutionName OtherPatientNames PatientAddress PatientBirthDate PatientComments PatientID "
    "PatientName ReferringPhysicianName StudyDescription"
)


def flawed_files(sound, defects, names, exam, identity):
    """Fresh files of an exam with the named defects, because defects change files in place.

    Args:
        sound: the sound exam's files, each with its content as bytes.
        defects: name to defect.
        names: of the defects, in their order.
        exam, identity: as defects take them.
    """
    files = [
        type(file)(file.path, pydicom.dcmread(BytesIO(content)), b"", file.view, file.slice, file.phase)
        for file, content in sound
    ]
    for name in names:
        files = defects[name].alter(files, exam, identity)
    assert len({file.path for file in files}) == len(files) > 0, "no file hides another"
    return files


def with_defects(sound, defects, exam):
    """Return a function that returns an exam's files with the named defects, written and read again; they are shared, so do
    not change them. For ``sound`` and ``defects``, see `flawed_files`."""
    return cache(lambda *names: [(file, read(file)) for file in flawed_files(sound, defects, names, exam, IDENTITY)])


def read(file):
    """The written file as pydicom reads it, or None."""
    try:
        return pydicom.dcmread(BytesIO(file.encode()))
    except Exception:
        return None


def normal(header) -> np.ndarray:
    """The normal of an image, in DICOM's frame."""
    orientation = np.array(header.ImageOrientationPatient, dtype=float)
    return np.cross(orientation[:3], orientation[3:])


def headers_of(files, view: str):
    """The headers of a view's files."""
    return [header for file, header in files if file.view == view]


class Effect(NamedTuple):
    """Differences between the files of a sound exam and those of the same exam with a defect."""

    gone: str = ""
    """Views that lost images, in alphabetical order, separated by blanks"""
    added: str = ""
    """Views with images that the sound exam lacks; ``?`` for files that are not DICOM"""
    headers: str = ""
    """Keywords whose values changed in any image that both have"""
    pixels: str = ""
    """Views whose stored pixels changed in any image that both have"""
    broken: str = ""
    """Views with files that can no longer be read whole"""
    paths: str = ""
    """Views with files that moved"""


def effect_of(sound, flawed) -> Effect:
    """Compare two lists of (file, header); a header is None if the file is not readable DICOM, or not any more.

    Images are matched by their SOP instance UID; broken files, which have none, are matched by their path.
    """
    before = {header.SOPInstanceUID: (file, header) for file, header in sound}
    paths = {file.path for file, _ in sound}
    whole = [(file, header) for file, header in flawed if file.dataset is not None]
    broken = {file.view for file, _ in flawed if file.dataset is None and file.path in paths}
    after = {header.SOPInstanceUID: (file, header) for file, header in whole}
    changed = {"headers": set(), "pixels": set(), "paths": set()}
    for file, header in whole:
        if header.SOPInstanceUID not in before:
            continue
        usual_file, usual = before[header.SOPInstanceUID]
        changed["headers"] |= _keywords(usual, header)
        if usual.get("PixelData") != header.get("PixelData"):
            changed["pixels"].add(usual_file.view)
        if usual_file.path != file.path:
            changed["paths"].add(usual_file.view)
    kept = {file.path for file, _ in flawed if file.dataset is None}
    return Effect(
        gone=_text(file.view for name, (file, _) in before.items() if name not in after and file.path not in kept),
        added=_text(
            [file.view for file, header in whole if header.SOPInstanceUID not in before]
            + ["?" for file, _ in flawed if file.dataset is None and file.path not in paths]
        ),
        headers=_text(changed["headers"]),
        pixels=_text(changed["pixels"]),
        broken=_text(broken),
        paths=_text(changed["paths"]),
    )


def _keywords(usual: pydicom.Dataset, header: pydicom.Dataset) -> set[str]:
    """Keywords that only one header has, or whose values differ; the display window is ignored, because it follows the
    pixels.
    """
    keywords = {element.keyword for some in (usual, header) for element in some}
    keywords -= {"PixelData", "WindowCenter", "WindowWidth"}
    return {keyword for keyword in keywords if usual.get(keyword) != header.get(keyword)}


def _text(names) -> str:
    return " ".join(sorted(set(names)))
