"""Find patients that two datalists have in common, so that no pretext learns from the images of a test."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from PIL import ImageOps

from planewise.atomic_write import atomic_write
from planewise.checksum import code_sha256
from planewise.errors import InputError
from planewise.exams.copies import (
    UNDECODED,
    fingerprints,
    image_sides,
    is_volume_file,
    keys_of_place,
    volume_shape,
)
from planewise.exams.photograph_files import ENDINGS, is_photograph, open_photograph
from planewise.exams.sections import items_in, parsed_datalist
from planewise.exams.split import SECTIONS
from planewise.exams.words import count_of
from planewise.text_files import read_json

#: Bytes that are compared at the beginning, in the middle and at the end of files of the same size. The beginning alone may
#: be a header and black voxels, which other files have, too.
_COMPARED = 2**16
#: The file in a study's folder with the checksums of the files that were compared. It contains no paths, only their hashes.
CHECKSUMS = "compared_files.json"
#: Endings of files whose patients are named by folders and numbers. Those of other files (DICOM) have a PatientID.
_NUMBERED = (".nii", ".nii.gz", ".npy", *ENDINGS, ".tif", ".tiff")
#: A volume may be a copy of DICOM slices, and vice versa.
_OTHER_KIND = {"slice of a volume": "DICOM slice", "DICOM slice": "slice of a volume"}


class _Item(NamedTuple):
    section: str
    patient: str
    names: list[str]
    stack: object
    """the same for all items of a stack; None if the item is not a slice"""
    affine: list[list[float]] | None
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
        read: also compare pixels, so that a copy under another name is found, even if it was saved again without loss.
            Photographs are compared pixel by pixel; of volumes and of stacks of DICOM files, the middle slices are compared
            as in `copies.fingerprints`, but those of two DICOM stacks only if they are in the same place. If an item has
            several images, only the first is read. If ``read`` is a path, this file keeps the checksums, and the next call
            reads only files that have changed since.
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
            stack = item.get("exam"), item.get("stack")
            count = counts.get(stack, 0)
            middle = not count or item.get("slice") in ((count - 1) // 2, count // 2)
            of_stack = stack if count else None
            found.append(_Item(section, patient, names, of_stack, item.get("affine"), paths, paths[:middle]))
    return found


def _contents(ours: Sequence[_Item], theirs: Sequence[_Item], kept: Path | None) -> dict[str, list[str]]:
    """The contents (`_content`) of those files that may be copies of a file of the other items, see `_clues`."""
    found = [_clues(items) for items in (ours, theirs)]
    compared = {}
    for here, there in (found, found[::-1]):
        known_there = {clue for _, clues in there.values() for clue in clues}
        for path, (stat, clues) in here.items():
            if any((_OTHER_KIND.get(kind, kind), value) in known_there for kind, value in clues):
                compared[path] = stat
    # a changed file, or changed code, needs a new checksum; the names are hashed because a path may name a patient
    code = code_sha256(rooms=["exams"]) if kept else ""
    names = {
        path: hashlib.sha256(
            f"{path} {stat.st_size} {stat.st_mtime_ns} {code}".encode(errors="surrogateescape")
        ).hexdigest()
        for path, stat in compared.items()
    }
    known: dict[str, list[str]] = {}
    with suppress(InputError, TypeError, ValueError):
        known = {name: value for name, value in dict(read_json(kept)).items() if type(value) is list} if kept else {}
    contents = {
        path: known[names[path]] if names[path] in known else _content(path, stat.st_size)
        for path, stat in compared.items()
    }
    # what cannot be read has no content
    news = {names[path]: checksums for path, checksums in contents.items() if checksums}
    if kept and news != known:
        with suppress(InputError, OSError), atomic_write(kept) as part:
            part.write_text(json.dumps(news))
    return contents


def _clues(items: Sequence[_Item]) -> dict[str, tuple[os.stat_result, set[tuple[str, object]]]]:
    """For each file that exists, what its copies have in common with it.

    - A photograph: the number of pixels, because copies may be rotated.
    - A volume: its sides, or the sides of its middle slices if the copy is DICOM.
    - A DICOM file: the place of its image, or its sides if the copy is a volume. One header of each stack is read.
    - A file that cannot be read: the number of its bytes.
    """
    found: dict[str, tuple[os.stat_result, set[tuple[str, object]]]] = {}
    sides_of: dict[object, tuple[int, int] | None] = {}
    for item in items:
        for path in item.read:
            known = path in found
            try:
                stat, clues = found[path] if known else (os.stat(path), set())
            except OSError:
                continue  # training reports it
            found[path] = stat, clues
            if is_volume_file(path):
                if not known and (shape := volume_shape(path)):
                    clues |= {("volume", shape), ("slice of a volume", shape[-2:])}
            elif is_photograph(path):
                with suppress(*UNDECODED), open_photograph(path) as image:
                    clues.add(("photograph", math.prod(image.size)))
            else:
                stack = item.stack or path
                sides = sides_of[stack] = sides_of.get(stack) or image_sides(path)
                if sides:
                    places = keys_of_place(sides, item.affine) if item.affine else [sides]
                    clues |= {("DICOM slice", tuple(sorted(sides))), *(("place", place) for place in places)}
            if not clues:
                clues.add(("unreadable", stat.st_size))
    return found


def _content(path: str, size: int) -> list[str]:
    """Checksums of what is compared: a photograph's pixels, or the images of another file (`fingerprints`); if the file has
    none that can be compared, some of its bytes."""
    if is_photograph(path):
        with suppress(*UNDECODED), open_photograph(path) as image:
            upright = ImageOps.exif_transpose(image)
            return [hashlib.sha256(f"{upright.mode} {upright.size} ".encode() + upright.tobytes()).hexdigest()]
    elif found := fingerprints(path):
        return found
    digest = hashlib.sha256(f"{size} ".encode())
    try:
        with Path(path).open("rb") as file:
            for place in (0, size // 2, size - _COMPARED):
                file.seek(max(0, place))
                digest.update(file.read(_COMPARED))
    except OSError:
        return []
    return [digest.hexdigest()]
