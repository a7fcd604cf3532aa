"""Find patients that two datalists have in common, so that no pretext learns from the images of a test."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import nibabel
import numpy as np
from PIL import Image, ImageOps

from planewise.atomic_write import atomic_write
from planewise.errors import InputError
from planewise.exams.photographs import ENDINGS, is_photograph, open_photograph
from planewise.exams.sections import items_in, parsed_datalist
from planewise.exams.split import SECTIONS
from planewise.exams.words import count_of
from planewise.nifti_files import is_nifti
from planewise.text_files import read_json
from planewise.unreadable import UNREADABLE

#: Bytes that are compared at the beginning, in the middle and at the end of files of the same size. The beginning alone may
#: be a header and black voxels, which other files have, too.
_COMPARED = 2**16
#: The file in a study's folder with the checksums of the files that were compared. It contains no paths, only their hashes.
CHECKSUMS = "compared_files.json"
#: Errors of Pillow and nibabel about a broken image, which training reports, and of NumPy about voxels that are colours.
_UNREADABLE = (*UNREADABLE, SyntaxError, TypeError, Image.DecompressionBombError)
#: Endings of files whose patients are named by folders and numbers. Those of other files (DICOM) have a PatientID.
_NUMBERED = (".nii", ".nii.gz", ".npy", *ENDINGS, ".tif", ".tiff")


class _Item(NamedTuple):
    section: str
    patient: str
    names: list[str]
    paths: list[str]

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
        read: also compare the content of files of the same size, so that a copy under another name is found. Up to 192 KiB
            of each such file are read. If photographs or NIfTI files have the same number of pixels, the pixels are compared
            (in volumes, those of the middle slice). This also finds a copy that was saved again without loss, with another
            compression or another type of number. If an item has several images, only the first is read. If ``read`` is a
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
    contents: dict[str, tuple[int, str]] = {}
    if read:
        kept = read if isinstance(read, Path) else None
        contents = _contents(*({path for item in items for path in item.paths[:1]} for items in (ours, theirs)), kept)
    for item in theirs if contents else ():
        known |= dict.fromkeys((contents[path] for path in item.paths if path in contents), item.section)
    found: dict[str, str] = {}
    for item in ours:
        keys = (*item.marks(names), *(contents[path] for path in item.paths if path in contents))
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
    found = []
    for section in (section for section in SECTIONS if section in sections):
        for item in items_in(content, section):
            image = item.get("image")
            patient = str(item.get("patient") or item.get("exam") or image)
            paths = image if isinstance(image, list) else [image] if image else []
            entry = exams.get(item.get("exam")) if isinstance(exams, Mapping) else None
            aliases = entry.get("aliases") if isinstance(entry, Mapping) else None
            names = [patient, *(map(str, aliases) if isinstance(aliases, list) else ())]
            found.append(_Item(section, patient, names, [os.path.normpath(folder / str(path)) for path in paths]))
    return found


def _contents(ours: Collection[str], theirs: Collection[str], kept: Path | None) -> dict[str, tuple[int, str]]:
    """The contents (`_content`) of those files whose size also occurs in the other collection. The size of a photograph or
    a volume is its number of pixels."""
    found = [{path: stat for path in paths if (stat := _stat(path))} for paths in (ours, theirs)]
    inner = {path: _pixel_count(path) for of in found for path in of if is_photograph(path) or is_nifti(path)}
    common = set.intersection(*({inner.get(path) or stat.st_size for path, stat in of.items()} for of in found))
    compared = {path: stat for of in found for path, stat in of.items() if (inner.get(path) or stat.st_size) in common}
    # a file that was changed is another file; its path may name a patient
    names = {
        path: hashlib.sha256(
            f"{path} {stat.st_size} {stat.st_mtime_ns} {inner.get(path, '')}".rstrip().encode(errors="surrogateescape")
        ).hexdigest()
        for path, stat in compared.items()
    }
    known: dict[str, str] = {}
    with suppress(InputError, TypeError, ValueError):
        known = dict(read_json(kept)) if kept else {}
    contents = {
        path: (size, known[names[path]]) if names[path] in known else _content(path, size)
        for path, stat in compared.items()
        for size in [inner.get(path) or stat.st_size]
    }
    # what cannot be read has no size
    news = {names[path]: checksum for path, (size, checksum) in contents.items() if size}
    if kept and news != known:
        with suppress(InputError, OSError), atomic_write(kept) as part:
            part.write_text(json.dumps(news))
    return contents


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None  # training reports it


def _pixel_count(path: str) -> int:
    """The number of pixels of a photograph or NIfTI file, from its header; 0 if it cannot be read."""
    with suppress(*_UNREADABLE):
        if is_nifti(path):
            return math.prod(nibabel.load(path).shape)
        with open_photograph(path) as image:
            return math.prod(image.size)
    return 0


def _content(path: str, size: int) -> tuple[int, str]:
    """The size of a file and a checksum of what is compared: a photograph's pixels, the middle slice of a NIfTI file (all
    voxels if that slice is uniform), or some bytes of another file."""
    with suppress(*_UNREADABLE):
        if is_nifti(path):
            voxels = nibabel.load(path).dataobj
            middle = np.asarray(voxels[(..., *(count // 2 for count in voxels.shape[2:]))])
            compared = middle if np.ptp(middle) else np.asarray(voxels)
            return size, hashlib.sha256(f"{voxels.shape} ".encode() + compared.astype(np.float32).tobytes()).hexdigest()
        if is_photograph(path):
            with open_photograph(path) as image:
                upright = ImageOps.exif_transpose(image)
                return size, hashlib.sha256(f"{upright.mode} {upright.size} ".encode() + upright.tobytes()).hexdigest()
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            for place in (0, size // 2, size - _COMPARED):
                file.seek(max(0, place))
                digest.update(file.read(_COMPARED))
    except OSError:
        return 0, path
    return size, digest.hexdigest()
