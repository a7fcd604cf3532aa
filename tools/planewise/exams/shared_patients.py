"""Find patients that two datalists have in common, so that no pretext learns from the images of a test."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pydicom

from planewise.atomic_write import atomic_write
from planewise.checksum import sha256
from planewise.errors import InputError
from planewise.exams.photograph_files import ENDINGS
from planewise.exams.sections import items_in, parsed_datalist
from planewise.exams.split import SECTIONS
from planewise.exams.words import count_of
from planewise.text_files import read_json

#: The file in a study's folder with the checksums of the files that were compared. It contains no paths, only their hashes.
CHECKSUMS = "compared_files.json"
#: Endings of files whose patients are named by folders and numbers. Those of other files (DICOM) have a PatientID.
_NUMBERED = (".nii", ".nii.gz", ".npy", *ENDINGS, ".tif", ".tiff")


class _Item(NamedTuple):
    section: str
    patient: str
    names: list[str]
    paths: list[str]
    read: list[str]
    """the paths whose content is compared: the first channel's; none if the item is not one of a stack's middle slices"""

    def marks(self, names: bool | None) -> list[str]:
        """What the item has in common with other items of its patient, see `shared_patients`."""
        named = not any(path.lower().endswith(_NUMBERED) for path in self.paths) if names is None else names
        return self.names * named + self.paths


def shared_patients(
    first: Path,
    second: Path,
    names: bool | None = True,
    read: bool | Path = False,
    sections: Collection[str] = SECTIONS,
    of_second: Collection[str] = SECTIONS,
) -> dict[str, str]:
    """The patients of the first datalist that the second one has, too, and their sections in the second.

    Patients are the same if they have an image file in common. If the second datalist has several sections for a patient, the
    last of training, validation and test counts.

    Args:
        first, second: datalists.
        names: also take patients of the same name (hash) as the same; an alias of a photograph's patient is a name, too.
            Data sets that name patients by numbers, such as case_001, have names in common without having patients in
            common; None therefore compares names of DICOM only.
        read: also compare files, so that a copy under another name is found: DICOM files by SOPInstanceUID, others by their
            bytes. Of stacks, the middle slices are compared; of an item with several images, the first. If ``read`` is a
            path, this file keeps the checksums, and the next call reads only files that have changed since.
        sections: sections of the first datalist to look at.
        of_second: sections of the second datalist to look at.

    Raises:
        InputError: a datalist cannot be read.
    """
    ours, theirs = _items(first, sections), _items(second, of_second)
    known: dict[object, str] = {}
    for item in theirs:
        known |= dict.fromkeys(item.marks(names), item.section)
    contents: dict[str, list[str]] = {}
    if read:
        kept = read if isinstance(read, Path) else None
        contents = _contents(ours, theirs, kept)
    for item in theirs if contents else ():
        known |= dict.fromkeys((checksum for path in item.paths for checksum in contents.get(path, ())), item.section)
    found: dict[str, str] = {}
    for item in ours:
        keys = (*item.marks(names), *(checksum for path in item.paths for checksum in contents.get(path, ())))
        for there in (known[key] for key in keys if key in known):
            found[item.patient] = max(found.get(item.patient, there), there, key=SECTIONS.index)
    return found


def seen_tests(learned: Path, tested: Path, read: bool | Path = False) -> tuple[int, int]:
    """How many test patients have an image in the training or validation section of another datalist, or of the same, and
    how many test patients there are.

    Args:
        learned: the datalist that a network learned from.
        tested: the datalist whose test section is looked at.
        read: see `shared_patients`.

    Raises:
        InputError: a datalist cannot be read.
    """
    *before, test = SECTIONS
    seen = shared_patients(tested, learned, None, read, [test], before)
    return len(seen), len({item.patient for item in _items(tested, [test])})


def seen_before(unlabelled: Path, labelled: Path, read: bool | Path = False) -> str:
    """The beginning of a sentence about `seen_tests`; empty if there are none.

    Args:
        unlabelled, labelled: datalists.
        read: see `shared_patients`.

    Raises:
        InputError: a datalist cannot be read.
    """
    seen, count = seen_tests(unlabelled, labelled, read)
    if not seen:
        return ""
    return (
        f"{seen} of {count_of(count, 'patient')} in the test section of the labelled images have images in the training "
        "or validation section of the unlabelled images"
    )


def _items(datalist: Path, sections: Collection[str]) -> list[_Item]:
    """The items of a datalist; an item without a patient is named by its exam or its image."""
    content, folder = parsed_datalist(datalist), datalist.resolve().parent
    exams = content.get("exams") if isinstance(content, Mapping) else None
    counts: dict[tuple, int] = {}
    for item in items_in(content, *SECTIONS):
        if type(item.get("slice")) is int:
            stack = item.get("exam"), item.get("stack")
            counts[stack] = max(counts.get(stack, 0), item["slice"] + 1)
    found = []
    for section in (section for section in SECTIONS if section in sections):
        for item in items_in(content, section):
            image = item.get("image")
            patient = str(item.get("patient") or item.get("exam") or image)
            paths = image if isinstance(image, list) else [image] if image else []
            entry = exams.get(item.get("exam")) if isinstance(exams, Mapping) else None
            aliases = entry.get("aliases") if isinstance(entry, Mapping) else None
            names = [patient, *(map(str, aliases) if isinstance(aliases, list) else ())]
            paths = [os.path.normpath(folder / str(path)) for path in paths]
            count = counts.get((item.get("exam"), item.get("stack")), 0)
            middle = not count or item.get("slice") in ((count - 1) // 2, count // 2)
            found.append(_Item(section, patient, names, paths, paths[:middle]))
    return found


def _contents(ours: Sequence[_Item], theirs: Sequence[_Item], kept: Path | None) -> dict[str, list[str]]:
    """What identifies the images of each file (`_content`), for those files that may be copies of a file of the other items:
    DICOM files, and other files of the same size."""
    stats = [_stats(items) for items in (ours, theirs)]
    sizes = [{stat.st_size for stat in of.values()} for of in stats]
    compared = {
        path: stat
        for of, others in zip(stats, reversed(sizes), strict=True)
        for path, stat in of.items()
        if not path.lower().endswith(_NUMBERED) or stat.st_size in others
    }
    # a changed file needs a new checksum; the names are hashed because a path may name a patient
    names = {
        path: hashlib.sha256(f"{path} {stat.st_size} {stat.st_mtime_ns}".encode(errors="surrogateescape")).hexdigest()
        for path, stat in compared.items()
    }
    known: dict[str, list[str]] = {}
    with suppress(InputError, TypeError, ValueError):
        known = {name: value for name, value in dict(read_json(kept)).items() if type(value) is list} if kept else {}
    contents = {path: known[names[path]] if names[path] in known else _content(path) for path in compared}
    # what cannot be read has no content
    news = {names[path]: marks for path, marks in contents.items() if marks}
    if kept and news != known:
        with suppress(InputError, OSError), atomic_write(kept) as part:
            part.write_text(json.dumps(news))
    return contents


def _stats(items: Sequence[_Item]) -> dict[str, os.stat_result]:
    found = {}
    for path in (path for item in items for path in item.read):
        with suppress(OSError):  # training reports it
            found[path] = os.stat(path)
    return found


def _content(path: str) -> list[str]:
    """The SOPInstanceUID of a DICOM file, or the SHA-256 of any other file; none if it cannot be read."""
    if not path.lower().endswith(_NUMBERED):
        with suppress(Exception):  # a header can be wrong in any way
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPInstanceUID"])
            return [hashlib.sha256(str(header.SOPInstanceUID).encode()).hexdigest()]
    with suppress(OSError):
        return [sha256(Path(path))]
    return []
