"""Find patients that two datalists have in common, so that no pretext learns from the images of a test."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from planewise.exams.split import SECTIONS
from planewise.exams.words import count_of
from planewise.text_files import read_json

#: Bytes that are compared at the beginning, in the middle and at the end of files of the same size. The beginning alone may
#: be a header and black voxels, which other files have, too.
_COMPARED = 2**16


class _Item(NamedTuple):
    section: str
    patient: str
    paths: list[str]


def shared_patients(
    first: Path,
    second: Path,
    names: bool = True,
    read: bool = False,
    sections: Collection[str] = SECTIONS,
    of_second: Collection[str] = SECTIONS,
) -> dict[str, str]:
    """The patients of the first datalist that the second one has, too, and their sections in the second.

    Patients are the same if they have an image file in common. If the second datalist has several sections for a patient, the
    last of training, validation and test counts.

    Args:
        first, second: datalists.
        names: also take patients of the same name (hash) as the same. Data sets that name patients by numbers, such as
            case_001, have names in common without having patients in common.
        read: also compare the content of files of the same size, so that a copy under another name is found. Up to 192 KiB
            of each such file are read.
        sections: sections of the first datalist to look at.
        of_second: sections of the second datalist to look at.

    Raises:
        InputError: a datalist cannot be read.
    """
    ours, theirs = _items(first, sections), _items(second, of_second)
    known: dict[object, str] = {}
    for item in theirs:
        known |= dict.fromkeys((*([item.patient] if names else []), *item.paths), item.section)
    contents: dict[str, tuple[int, str]] = {}
    if read:
        contents = _contents(*({path for item in items for path in item.paths} for items in (ours, theirs)))
    for item in theirs if contents else ():
        known |= dict.fromkeys((contents[path] for path in item.paths if path in contents), item.section)
    found: dict[str, str] = {}
    for item in ours:
        keys = (
            *([item.patient] if names else []),
            *item.paths,
            *(contents[path] for path in item.paths if path in contents),
        )
        for there in (known[key] for key in keys if key in known):
            found[item.patient] = max(found.get(item.patient, there), there, key=SECTIONS.index)
    return found


def seen_before(unlabelled: Path, labelled: Path, read: bool = False) -> str:
    """The beginning of a sentence about test patients with an image in the training or validation section of the
    unlabelled images; empty if there are none.

    Args:
        unlabelled, labelled: datalists.
        read: see `shared_patients`.

    Raises:
        InputError: a datalist cannot be read.
    """
    *learned, test = SECTIONS
    seen = shared_patients(labelled, unlabelled, False, read, [test], learned)
    if not seen:
        return ""
    count = len({item.patient for item in _items(labelled, [test])})
    return (
        f"{len(seen)} of {count_of(count, 'patient')} in the test section of the labelled images have images in the training "
        "or validation section of the unlabelled images"
    )


def _items(datalist: Path, sections: Collection[str]) -> list[_Item]:
    """The items of a datalist; an item without a patient is named by its exam or its image."""
    content, folder = read_json(datalist, "a datalist"), datalist.resolve().parent
    found = []
    for section in SECTIONS:
        items = content.get(section) if section in sections and isinstance(content, dict) else None
        for item in items or ():
            image = item.get("image")
            patient = str(item.get("patient") or item.get("exam") or image)
            paths = image if isinstance(image, list) else [image] if image else []
            found.append(_Item(section, patient, [os.path.normpath(folder / str(path)) for path in paths]))
    return found


def _contents(ours: Collection[str], theirs: Collection[str]) -> dict[str, tuple[int, str]]:
    """The contents (`_content`) of files that have the size of a file of the other collection."""
    sizes = [{path: size for path in paths if (size := _size(path)) is not None} for paths in (ours, theirs)]
    common = set(sizes[0].values()) & set(sizes[1].values())
    return {path: _content(path, size) for of in sizes for path, size in of.items() if size in common}


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size
    except OSError:
        return None  # training reports it


def _content(path: str, size: int) -> tuple[int, str]:
    """The size of a file, and a checksum of its compared bytes."""
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            for place in (0, size // 2, size - _COMPARED):
                file.seek(max(0, place))
                digest.update(file.read(_COMPARED))
    except OSError:
        return 0, path
    return size, digest.hexdigest()
