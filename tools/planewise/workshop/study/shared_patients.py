"""Find patients that two datalists have in common, so that no pretext learns from the images of a test."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pydicom

from planewise.files.checksum import sha256
from planewise.files.datalists import SECTIONS, items_in, parsed_datalist
from planewise.files.photographs import ENDINGS
from planewise.findings import Finding, finding

#: Endings of files whose patients are named by folders and numbers. Those of other files (DICOM) have a PatientID.
_NUMBERED = (".nii", ".nii.gz", ".npy", *ENDINGS, ".tif", ".tiff")


class _Item(NamedTuple):
    section: str
    patient: str
    paths: list[str]
    compared: list[str]
    """the paths whose content is compared: the first channel's; none if the item is not its stack's first slice"""


def shared_patients(
    first: Path,
    second: Path,
    names: bool = True,
    sections: Collection[str] = SECTIONS,
    of_second: Collection[str] = SECTIONS,
) -> dict[str, str]:
    """The patients of the first datalist that the second one has, too, and their sections in the second.

    Patients are the same if they have an image file, a copy of a file or, for DICOM, a name in common. Copies of DICOM
    files have one SOPInstanceUID, and those of others one SHA-256; of stacks, the first slice is compared, and of an item
    with several images, the first. If the second datalist has several sections for a patient, the last one counts.

    Args:
        first, second: datalists.
        names: also compare the names of patients of NIfTI files and photographs, which data sets number alike.
        sections, of_second: sections of the first and of the second datalist to look at.

    Raises:
        InputError: a datalist cannot be read.
    """
    ours, theirs = _items(first, sections), _items(second, of_second)
    sizes = [{size for item in items for size in map(_size, item.compared)} for items in (ours, theirs)]
    content = cache(_content)

    def marks(item: _Item) -> list[str]:
        dicom = not any(path.lower().endswith(_NUMBERED) for path in item.paths)
        compared = [path for path in item.compared if dicom or _size(path) in sizes[0] & sizes[1]]
        found = [content(path, dicom) for path in compared]
        return [*([item.patient] if names or dicom else ()), *item.paths, *filter(None, found)]

    known = {mark: item.section for item in theirs for mark in marks(item)}
    found: dict[str, str] = {}
    for item in ours:
        for there in (known[mark] for mark in marks(item) if mark in known):
            found[item.patient] = max(found.get(item.patient, there), there, key=SECTIONS.index)
    return found


def seen_before(unlabelled: Path, labelled: Path) -> Finding | None:
    """How many test patients of a datalist have an image in the training or validation section of another one, from which a
    network learned, or of the same; None if there are none. See `shared_patients`."""
    *before, test = SECTIONS
    seen = shared_patients(labelled, unlabelled, False, [test], before)
    count = len({item.patient for item in _items(labelled, [test])})
    return finding("test-patients-seen", seen=len(seen), count=count) if seen else None


def _items(datalist: Path, sections: Collection[str]) -> list[_Item]:
    """The items of a datalist; an item without a patient is named by its exam or its image."""
    content, folder = parsed_datalist(datalist), datalist.resolve().parent
    found = []
    for section in (section for section in SECTIONS if section in sections):
        for item in items_in(content, section):
            image = item.get("image")
            patient = str(item.get("patient") or item.get("exam") or image)
            paths = image if isinstance(image, list) else [image] if image else []
            paths = [os.path.normpath(folder / str(path)) for path in paths]
            found.append(_Item(section, patient, paths, paths[: item.get("slice") in (None, 0)]))
    return found


def _size(path: str) -> int:
    return os.path.getsize(path) if os.path.isfile(path) else -1


def _content(path: str, dicom: bool) -> str:
    """The SOPInstanceUID of a DICOM file, or the SHA-256 of any other file; empty if it cannot be read."""
    if dicom:
        with suppress(Exception):  # a header can be wrong in any way
            return str(pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)
    with suppress(OSError):
        return sha256(Path(path))
    return ""
