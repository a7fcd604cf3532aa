"""Convert exams to a datalist (tools/docs/datalist.md), and write it to disk."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TextIO

import numpy as np
import pydicom

from planewise.errors import InputError
from planewise.exams.stack import Stack
from planewise.files.atomic_write import atomic_write
from planewise.files.datalists import SECTIONS, with_paths
from planewise.files.text import cell
from planewise.geometry import relative_locations

#: What a PACS needs to find an exam.
_STUDY = ("StudyInstanceUID", "StudyDate")


def slice_items(stack: Stack, located: bool, phases: str = "all") -> list[dict]:
    """The images of a stack as items, without the exam's own keys.

    Args:
        stack: stack whose slices are in order (see `Stack.in_order`).
        located: whether it is known which end of the stack comes first; if it is unknown, items have no location.
        phases: ``"all"``, or ``"first"`` for the first phase of each slice.

    Returns:
        One dictionary per image: ``image`` (absolute path), ``frame`` (multi-frame files only), ``time`` (NIfTI cines
        only), ``affine``, ``slice``, ``phase`` (rank in the cycle as a fraction of it, or its name), ``location`` (Zhang
        2024 Eq. 3).
    """
    locations: list[float | None] = [None] * len(stack.slices)
    if located and len(stack.slices) > 1:
        origins = np.array([entry.affine[:3, 3] for entry in stack.slices])
        locations = relative_locations(origins, stack.normal).tolist()
    items = []
    for rank, (entry, location) in enumerate(zip(stack.slices, locations, strict=True)):
        shown = entry.phases if phases == "all" else entry.phases[:1]
        affines = np.round([frame.affine for frame in shown], 9).tolist()
        for number, (frame, affine) in enumerate(zip(shown, affines, strict=True)):
            item = {
                "image": frame.path,
                "frame": frame.frame,
                "time": frame.time,
                "affine": affine,
                "slice": rank,
                "phase": entry.phase(number),
                "location": location and round(location, 9),
            }
            items.append({key: value for key, value in item.items() if value is not None})
    return items


def plane_of(stack: Stack, rank: int) -> dict[str, list[float]]:
    """The plane of one slice: ``origin`` and unit ``normal``, RAS+, mm."""
    origin = stack.slices[rank].affine[:3, 3]
    return {"origin": np.round(origin, 9).tolist(), "normal": np.round(stack.normal, 12).tolist()}


def stack_summary(stack: Stack, view: str, confidence: float | None) -> dict:
    """A summary of a stack for people: its entry in ``EXAM.stacks`` of a datalist."""
    between = stack.gaps
    summary = {
        "view": view,
        "slices": len(stack.slices),
        "phases": list(stack.phase_counts),
        "matrix": [stack.columns, stack.rows],
    }
    if confidence is not None:
        summary["confidence"] = round(confidence, 3)
    if len(between):
        # the smaller of the two middle gaps, as in `missing_slices`
        summary["spacing"] = round(float(np.quantile(between, 0.5, method="lower")), 3)
    return summary


def _relative(path: str, folder: Path) -> str:
    return Path(os.path.relpath(Path(path).absolute(), folder.resolve())).as_posix()


def check_output(path: Path, is_datalist: bool = False) -> Path:
    """The absolute path of a file to write, whose folder is created. A datalist may replace only a datalist or an empty file.

    Raises:
        InputError: the path is a folder or another file, or its parent folder cannot be created or is not writable.
    """
    path = Path(path).expanduser().absolute()
    if path.is_dir():
        raise InputError(f"{path} is a folder; name the file to write, such as {path / 'datalist.json'}")
    if is_datalist and path.is_file() and path.stat().st_size:
        with path.open("rb") as file:
            if not file.read(100).lstrip().startswith(b"{"):
                raise InputError(f"{path} is not a datalist and would be replaced; name another file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the folder {path.parent} cannot be created ({error.strerror}); name another file") from None
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"the folder {path.parent} cannot be written to; name another file")
    return path


def write_datalist(datalist: dict, path: str | Path) -> Path:
    """Write a datalist of `index_folder`, one item per line, and return its absolute path. The items' paths become relative
    to the file's folder. Only its owner can read it, because paths may contain names.

    Raises:
        InputError: the file cannot be written.
    """
    path = check_output(Path(path), is_datalist=True)
    inner = cache(lambda folder: Path(_relative(folder, path.parent)))  # many images share a folder
    content = with_paths(datalist, lambda image: (inner(os.path.dirname(image)) / os.path.basename(image)).as_posix())
    lines = [f'"planewise": {_json(content["planewise"])}']
    for section in SECTIONS:
        items = ",\n".join(_json(item) for item in content[section])
        lines.append(f"{_json(section)}: [\n{items}\n]" if items else f"{_json(section)}: []")
    exams = ",\n".join(f"{_json(name)}: {_json(exam)}" for name, exam in content["exams"].items())
    lines.append(f'"exams": {{\n{exams}\n}}')
    with _written_whole(path) as file:
        file.write("{\n" + ",\n".join(lines) + "\n}\n")
    return path


def write_places(path: Path, places: Mapping[str, tuple[Path, Path]]) -> None:
    """Write the private table of exams next to a file (`folders_table`): hashes, places, and the StudyInstanceUID and
    StudyDate that a PACS needs.

    Args:
        path: a datalist, or the table of an archive's exams.
        places: maps the hash of each exam to its folder and the path of one of its images. The image stands for the exam if
            the folder or a folder below it also belongs to another exam.
    """
    inside = Counter(place for folder, _ in places.values() for place in (folder, *folder.parents))
    with _written_whole(folders_table(path)) as table:
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(("exam", "folder", *_STUDY))
        for name, (folder, image) in places.items():
            place = _relative(str(folder if inside[folder] == 1 else image), path.parent)
            writer.writerow((name, cell(place), *map(cell, _study_of(image))))


def _study_of(image: Path) -> list[str]:
    """The values of `_STUDY` in a file; empty texts if it is not a DICOM file."""
    try:
        header = pydicom.dcmread(image, stop_before_pixels=True, specific_tags=[*_STUDY], force=True)
        return [str(header.get(keyword) or "") for keyword in _STUDY]
    except Exception:  # a broken header raises errors of any kind
        return [""] * len(_STUDY)


def folders_table(datalist: Path) -> Path:
    """The table of exams' hashes and folders next to a datalist, ``NAME_folders.csv``."""
    return datalist.with_name(f"{datalist.stem}_folders.csv")


@contextmanager
def _written_whole(path: Path) -> Iterator[TextIO]:
    """Write a file completely or not at all; only its owner can read it, from the first byte on."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with atomic_write(path) as part, open(os.open(part, flags, 0o600), "w", encoding="utf-8", newline="") as file:
        yield file


def _json(value: object) -> str:
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False)
    except ValueError:  # the number comes from an existing datalist that was read and changed
        raise InputError(
            f"numbers in a datalist must be finite, got {value!r:.80}; correct it, or index again"
        ) from None
