"""Stanford's MRNet-v1.0: knees as .npy volumes without geometry, and their labels.

    {train,valid}/{axial,coronal,sagittal}/0000.npy      (slices, rows, columns), 8 bits
    {train,valid}-{abnormal,acl,meniscus}.csv            no header, lines of `0000,1`

Only the sagittal volumes are used: they are T2-weighted with fat suppression, and pretraining uses sagittal stacks.
They have no pixel spacing, so nothing can be resampled to millimetres.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from planewise.errors import InputError
from planewise.exams.volume import FoundVolumes, Volume
from planewise.exams.words import count_of, some_of
from planewise.text_files import read_csv

SECTIONS, PLANES = ("train", "valid"), ("axial", "coronal", "sagittal")
LABELS = ("abnormal", "acl", "meniscus")
OTHER_PLANE = "MRNet volume of another plane: only the sagittal ones are used"
OTHER_ANATOMY = "MRNet volume of a knee: index it with --anatomy knee"


def is_volume(path: str) -> bool:
    """Whether a path belongs to a volume in MRNet's tree."""
    if not path.endswith(".npy"):
        return False
    home, name = os.path.split(os.path.abspath(path))
    section, plane = home.split(os.sep)[-2:] if home.count(os.sep) > 1 else ("", "")
    return name.removesuffix(".npy").isdecimal() and plane in PLANES and section in SECTIONS


def is_label_file(path: str) -> bool:
    """Whether a path belongs to one of MRNet's label files, next to its volumes."""
    home, name = os.path.split(path)
    section, _, label = name.removesuffix(".csv").partition("-")
    known = name.endswith(".csv") and section in SECTIONS and label in LABELS
    return known and os.path.isdir(os.path.join(home, section))


def read_volumes(paths: Iterable[Path], folder: Path) -> FoundVolumes:
    """Sagittal volumes, with the labels (0 or 1) of the CSV files as classes and their combination as ``group``."""
    skipped: dict[str, list[str]] = defaultdict(list)
    trees: dict[tuple[Path, str], dict[str, Path]] = defaultdict(dict)
    for path in paths:
        if path.parent.name == "sagittal":
            trees[path.parents[2], path.parent.parent.name][path.stem] = path
        else:
            skipped[OTHER_PLANE].append(str(path))
    volumes, problems = [], []
    for (root, section), files in trees.items():
        labels = {label: _read_labels(root / f"{section}-{label}.csv", set(files), problems) for label in LABELS}
        for case, path in files.items():
            if problem := volume_problem(path):
                skipped[problem].append(str(path))
                continue
            classes = {label: labels[label][case] for label in LABELS if case in labels[label]}
            volumes.append(_volume(path, section, classes))
    _tell_copies_apart(volumes, folder)
    return FoundVolumes(volumes, dict(skipped), problems)


def open_volume(path: str | Path) -> np.ndarray:
    """A volume as its file stores it, memory-mapped.

    Raises:
        ValueError: the file cannot be read; the message gives the reason without the path.
    """
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        kind = "it ends before its image does" if "mmap" in str(error) else "it does not contain a plain numpy array"
        raise ValueError(f"the volume cannot be read: {kind}") from error


def volume_problem(path: Path) -> str:
    """The reason why a file cannot be read as a volume of slices, in words; empty if it can. Pixels are not read."""
    try:
        array = open_volume(path)
    except ValueError as error:
        return str(error).replace("the volume", "MRNet volume that", 1)
    if array.ndim != 3 or min(array.shape) < 1:
        return f"MRNet volume of shape {_shape(array)}: its shape must be (slices, rows, columns)"
    if not (np.issubdtype(array.dtype, np.integer) or np.issubdtype(array.dtype, np.floating)):
        return f"MRNet volume of {array.dtype}: its values must be numbers"
    if array.shape[0] == array.shape[1] != array.shape[2]:
        return f"MRNet volume of shape {_shape(array)}: its slices do not lie along the first axis"
    return ""


def _shape(array: np.ndarray) -> str:
    return "x".join(map(str, array.shape)) or "of no dimension"


def _volume(path: Path, section: str, classes: dict[str, int]) -> Volume:
    key = f"mrnet:{section}/{path.stem}"
    group = " ".join(f"{label}={value}" for label, value in classes.items())
    return Volume(path, None, path.stem, classes=classes, group=group or "no label", key=key, patient_key=key)


def _tell_copies_apart(volumes: list[Volume], folder: Path) -> None:
    """If two trees below one folder have exams of the same name, use their whole path as key."""
    homes = defaultdict(set)
    for volume in volumes:
        homes[volume.key].add(volume.folder)
    for volume in volumes:
        home = volume.folder
        if len(homes[volume.key]) > 1:
            place = home.relative_to(folder).as_posix() if home.is_relative_to(folder) else home.as_posix()
            volume.key = volume.patient_key = f"mrnet:{place}/{volume.case}"


def _read_labels(path: Path, cases: set[str], problems: list[tuple[str, str]]) -> dict[str, int]:
    """Map each case to its label; errors in the file go to ``problems``."""
    try:
        rows = read_csv(path)
    except InputError:
        why = "it cannot be read as CSV" if path.is_file() else "there is no such file"
        problems.append((path.name, f"{why}: {count_of(len(cases), 'volume')} without this label"))
        return {}
    by_number = {case.lstrip("0"): case for case in cases}
    labels: dict[str, int] = {}
    wrong: dict[str, list[str]] = defaultdict(list)
    contradicted = set()
    for name, value in ((row[0], row[1] if len(row) > 1 else "") for row in rows):
        # an id that lost its zeros in a spreadsheet is still the same number
        case = name if name in cases else by_number.get(name.lstrip("0")) if name.isdecimal() else None
        if not name.isdecimal():
            wrong["no exam number: this line is ignored"].append(name)
        elif case is None:
            wrong["there is no such volume"].append(name)
        elif value not in ("0", "1"):
            wrong["the label is neither 0 nor 1: left out"].append(name)
        elif case in labels and labels[case] != int(value):
            contradicted.add(case)
        elif case in labels:
            wrong["listed twice, with the same label"].append(name)
        else:
            labels[case] = int(value)
    for case in contradicted:
        del labels[case]
    wrong["listed twice, with 0 and with 1: left out"] += sorted(contradicted)
    told = {name for names in wrong.values() for name in names}
    wrong["the file has no line for this volume"] += sorted(cases - set(labels) - told)
    problems += [(f"{path.name}: {some_of(names)}", reason) for reason, names in wrong.items() if names]
    return labels


def is_array(path: str | Path) -> bool:
    """Whether a path belongs to a volume in a bare array (``.npy``)."""
    return str(path).endswith(".npy")


def read_array(path: str | Path, field: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Read an array ``(slices, rows, columns)`` as a volume.

    Args:
        path: path of the file.
        field: assumed length of a slice's longer side, mm, because the file does not contain it. If it equals the side
            of the network's grid in mm, resampling only changes the number of pixels.

    Returns:
        Memory-mapped pixels ``(i, j, slices)``, with i along a row, and an affine ``(4, 4)`` that contains only the
        spacing, mm.

    Raises:
        InputError: ``field`` is None.
        ValueError: the file cannot be read, or the array is not three-dimensional.
    """
    array = open_volume(path)
    if array.ndim != 3:
        raise ValueError(f"the array has {array.ndim} dimensions; it must have three (slices, rows, columns)")
    if field is None:
        raise InputError(
            "an .npy volume has no spacing, but this bundle needs the geometry from headers; use a bundle with the setting "
            "field_without_spacing"
        )
    spacing = field / max(array.shape[1:])
    return array.transpose(2, 1, 0), np.diag([spacing, spacing, spacing, 1.0])
