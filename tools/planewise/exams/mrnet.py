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
from contextlib import suppress
from pathlib import Path

from planewise.errors import InputError
from planewise.exams.volume import FoundVolumes, Skipped, Volume
from planewise.files.arrays import open_volume
from planewise.files.text import read_csv
from planewise.findings import Finding, finding
from planewise.words import some_of

SECTIONS, PLANES = ("train", "valid"), ("axial", "coronal", "sagittal")
LABELS = ("abnormal", "acl", "meniscus")
OTHER_PLANE, OTHER_ANATOMY = finding("file-not-used", kind="plane"), finding("file-not-used", kind="knee")


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


def read_volumes(paths: Iterable[Path]) -> FoundVolumes:
    """Sagittal volumes, with the labels (0 or 1) of the CSV files as classes and their combination as ``group``."""
    skipped: Skipped = defaultdict(list)
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
            group = " ".join(f"{label}={value}" for label, value in classes.items()) or "no label"
            key = f"mrnet:{section}/{path.stem}"
            volumes.append(Volume(path, None, path.stem, classes=classes, group=group, key=key, patient_key=key))
    return FoundVolumes(volumes, dict(skipped), problems)


def volume_problem(path: Path) -> Finding | None:
    """Why a file cannot be read as a volume of slices; None if it can. Pixels are not read."""
    try:
        array = open_volume(path)
    except InputError as error:
        return error.reason
    if array.ndim != 3 or array.shape[0] == array.shape[1] != array.shape[2] or min(array.shape) < 1:
        return finding("array-unusable", kind="shape", shape=array.shape)
    return None if array.dtype.kind in "iuf" else finding("array-unusable", kind="numbers")


def _read_labels(path: Path, cases: set[str], problems: list[tuple[str, Finding]]) -> dict[str, int]:
    """Map each case to its label; errors in the file go to ``problems``."""
    rows = []
    with suppress(InputError):
        rows = read_csv(path)
    given = {row[0]: row[1] for row in rows if row[0] in cases and row[1:] and row[1] in ("0", "1")}
    if lacking := sorted(cases - given.keys()):
        problems.append((f"{path.name}: {some_of(lacking)}", finding("input-lacks", label="a label", kind="label")))
    return {case: int(value) for case, value in given.items()}
