"""Exams of M&Ms-2: a folder of short-axis and 4ch volumes with masks for each code, and a table of all codes.

``dataset/007/007_SA_ED.nii.gz`` is at end-diastole and has its mask next to it (``007_SA_ED_gt``), ``007_LA_ES`` is the
4ch view at end-systole (the set has no other long-axis view), and ``007_SA_CINE`` is the cine that contains both
phases. ``dataset_information.csv`` lists folder 007 as 7, and ends in empty rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from planewise.errors import InputError
from planewise.exams.volume import Skipped, Volume
from planewise.files.names import stem
from planewise.files.text import read_csv
from planewise.findings import finding

TABLE = "dataset_information.csv"
#: Maps the set's codes to ours: it numbers the left ventricle 1 and the right one 3, the reverse of ACDC.
LABEL_MAP = {1: 3, 2: 2, 3: 1}

_VIEWS = {"SA": "sax", "LA": "4ch"}
_NAME = re.compile(r"(?P<code>\d+)_(SA|LA)_(ED|ES|CINE)(_gt)?$", re.IGNORECASE)
#: Columns of the table, and the keys for their values in items.
_CLASSES = {"DISEASE": "group", "VENDOR": "vendor", "SCANNER": "scanner", "FIELD": "field"}
CINE_OF_FRAMES = finding("file-not-used", kind="frames")


def is_exam(home: Path, files: list[Path]) -> bool:
    """Whether a folder is one exam of the set: its files begin with its name and state their view."""
    names = [_NAME.match(stem(path)) for path in files]
    return any(name and name["code"] == home.name for name in names)


def read_exam(home: Path, files: list[Path], skipped: Skipped) -> list[Volume]:
    """An exam's volumes: the frames at end-diastole and end-systole, or the cine if there are none."""
    by_stem = {stem(path).lower(): path for path in files}
    classes = _classes(home, skipped)
    common = {"classes": classes, "group": str(classes.get("group", "")), "label_map": LABEL_MAP}
    volumes = []
    for short, view in _VIEWS.items():
        name = f"{home.name}_{short}".lower()
        frames = [phase for phase in ("ED", "ES") if f"{name}_{phase}".lower() in by_stem]
        for phase in frames:
            image = by_stem.pop(f"{name}_{phase}".lower())
            label = by_stem.pop(f"{name}_{phase}_gt".lower(), None)
            volumes.append(Volume(image, label, home.name, phase, view=view, **common))
        cine = by_stem.pop(f"{name}_cine", None)
        if cine is not None and frames:
            skipped[CINE_OF_FRAMES].append(str(cine))
        elif cine is not None:
            volumes.append(Volume(cine, None, home.name, view=view, **common))
    if by_stem:
        skipped[finding("file-not-used", kind="image")] += map(str, by_stem.values())
    return volumes


def _classes(home: Path, skipped: Skipped) -> dict[str, object]:
    """The table's entry for an exam; empty without a table or an entry."""
    row = None
    for table in (path for path in (above / TABLE for above in list(home.parents)[:2]) if path.is_file()):
        with suppress(InputError):
            row = read_table(table, table.stat().st_mtime_ns).get(int(home.name))
        break
    if row is None:
        skipped[finding("input-lacks", table=TABLE, what="the exam's group", kind="table")].append(str(home))
    return dict(row or {})


@lru_cache(maxsize=2)
def read_table(path: Path, modified: int) -> Mapping[int, Mapping[str, object]]:
    """Map each code, as a number, to the exam's entry in the table.

    Args:
        path: path of the table.
        modified: time of the table's last change, so that a rewritten table gets a new cache entry.

    Raises:
        InputError: the table cannot be read.
    """
    header, *rows = read_csv(path) or [[]]
    told = {}
    for row in (dict(zip(header, cells, strict=False)) for cells in rows):
        code = row.get("SUBJECT_CODE", "")
        if code.isdecimal():
            told[int(code)] = {name: row[column] for column, name in _CLASSES.items() if row.get(column)}
    return told
