"""Readers of the data sets of hearts in NIfTI: ACDC, M&Ms-2, and UK Biobank. Each claims the folder of an exam by its files.

- ACDC: ``Info.cfg`` names the end-diastolic and end-systolic frames of ``patient001_frame01.nii.gz``, ..., whose masks are
  next to them (``_gt``).
- M&Ms-2: ``dataset/007/007_SA_ED.nii.gz`` is at end-diastole, with its mask ``007_SA_ED_gt``; ``007_LA_ES`` is the 4ch view
  at end-systole (the set has no other long-axis view), and ``007_SA_CINE`` is the cine that contains both phases.
  ``dataset_information.csv`` lists folder 007 as 7, and ends in empty rows.
- UK Biobank, in the form of the public pipeline of W. Bai and colleagues (baiwenjia/ukbb_cardiac), which keeps the scanner's
  affines: ``sa``, ``la_2ch`` and ``la_4ch`` are cines; ``la_4ch_ED`` and ``la_4ch_ES`` are frames of a cine, and
  ``label_la_4ch_ED`` is the manual mask of a frame.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from planewise.errors import InputError
from planewise.exams.volume import Skipped, Volume
from planewise.files.masks import read_mask, structures_of
from planewise.files.names import stem
from planewise.files.nifti import UNREADABLE
from planewise.files.text import read_csv, read_yaml
from planewise.findings import finding

#: The tables of ACDC and M&Ms-2.
INFO, TABLE = "Info.cfg", "dataset_information.csv"
#: Maps the codes of M&Ms-2 and UK Biobank to ours: 1 is the left ventricle and 3 the right one, the reverse of ACDC.
LABEL_MAP = {1: 3, 2: 2, 3: 1}
#: UK Biobank's 4ch view has 4 and 5 for the left and right atrium. If only the atria were drawn, the pipeline's own files
#: use 1 and 2.
ALL_LABEL_MAP, ATRIA_LABEL_MAP = LABEL_MAP | {4: 4, 5: 5}, {1: 4, 2: 5}
CINE_OF_FRAMES = finding("file-not-used", kind="frames")
_PHASES = ("ED", "ES")
#: Smallest and largest height (cm) and weight (kg) of a person; values beyond them are mistakes or in another unit.
_BODIES = {"Height": (40, 250), "Weight": (2, 400)}
_MNMS2_VIEWS = {"SA": "sax", "LA": "4ch"}
_MNMS2_NAME = re.compile(r"(?P<code>\d+)_(SA|LA)_(ED|ES|CINE)(_gt)?$", re.IGNORECASE)
#: Columns of M&Ms-2's table, and the keys for their values in items.
_CLASSES = {"DISEASE": "group", "VENDOR": "vendor", "SCANNER": "scanner", "FIELD": "field"}
_UKBB_VIEWS = {"sa": "sax", "la_2ch": "2ch", "la_3ch": "3ch", "la_4ch": "4ch"}
_UKBB_PREDICTION = re.compile(r"seg\d?_")


def read_exam(home: Path, files: list[Path], skipped: Skipped) -> list[Volume] | None:
    """The volumes of a folder ``home`` with these NIfTI files, if it is an exam of one of the sets; None for any
    other folder. Files that are left out are added to ``skipped``."""
    by_stem = {stem(path).lower(): path for path in files}
    if (home / INFO).is_file():
        return _read_acdc(home / INFO, by_stem, skipped)
    if any((name := _MNMS2_NAME.match(each)) and name["code"] == home.name for each in by_stem):
        return _read_mnms2(home, by_stem, skipped)
    if any({view, f"{view}_ed", f"{view}_es"} & by_stem.keys() for view in _UKBB_VIEWS):
        return _read_ukbb(home, by_stem, skipped)
    return None


def _read_acdc(info_file: Path, by_stem: dict[str, Path], skipped: Skipped) -> list[Volume]:
    def lacks(what: str) -> None:
        skipped[finding("input-lacks", table=INFO, what=what, kind="table")].append(str(info_file))

    info, case = {}, info_file.parent.name
    with suppress(InputError):  # lines like `Group: DCM` are YAML
        info = read_yaml(info_file)
    info = info if isinstance(info, dict) else {}
    group = str(info.get("Group") or "")
    classes: dict[str, object] = {"group": group} if group else {}
    for name, (smallest, largest) in _BODIES.items():
        with suppress(KeyError, ValueError, TypeError):
            if smallest <= float(info[name]) <= largest:
                classes[name.lower()] = float(info[name])
    volumes = []
    for phase in _PHASES:
        try:
            name = f"{case}_frame{int(info[phase]):02d}".lower()
            image = by_stem[name]
        except (KeyError, ValueError, TypeError):
            lacks(f"an {phase} frame that exists")
            continue
        volumes.append(Volume(image, by_stem.get(f"{name}_gt"), case, phase, classes, group))
    return volumes


def _read_mnms2(home: Path, by_stem: dict[str, Path], skipped: Skipped) -> list[Volume]:
    """For each view, the frames at end-diastole and end-systole, or the cine if there are none."""
    classes = _classes(home, skipped)
    common = {"classes": classes, "group": str(classes.get("group", "")), "label_map": LABEL_MAP}
    volumes = []
    for short, view in _MNMS2_VIEWS.items():
        name = f"{home.name}_{short}".lower()
        frames = _frames(by_stem, name, f"{name}_{{}}_gt")
        volumes += [Volume(*pair, home.name, phase, view=view, **common) for phase, pair in frames.items()]
        cine = by_stem.pop(f"{name}_cine", None)
        if cine is not None and frames:
            skipped[CINE_OF_FRAMES].append(str(cine))
        elif cine is not None:
            volumes.append(Volume(cine, None, home.name, view=view, **common))
    if by_stem:
        skipped[finding("file-not-used", kind="image")] += map(str, by_stem.values())
    return volumes


def _frames(by_stem: dict[str, Path], image: str, mask: str) -> dict[str, tuple[Path, Path | None]]:
    """The frames of a cine with their masks, which leave ``by_stem``, by phase; ``mask`` is a pattern of their names."""
    there = [phase for phase in _PHASES if f"{image}_{phase.lower()}" in by_stem]
    pairs = ((f"{image}_{phase.lower()}", mask.format(phase.lower())) for phase in there)
    return {
        phase: (by_stem.pop(own), by_stem.pop(other, None)) for phase, (own, other) in zip(there, pairs, strict=True)
    }


def _classes(home: Path, skipped: Skipped) -> dict[str, object]:
    """The entry of M&Ms-2's table for an exam; empty without a table or an entry."""
    for table in (above / TABLE for above in list(home.parents)[:2]):
        with suppress(InputError):
            header, *rows = read_csv(table) or [[]]
            for row in (dict(zip(header, cells, strict=False)) for cells in rows):
                code = row.get("SUBJECT_CODE", "")
                if code.isdecimal() and int(code) == int(home.name):
                    return {name: row[column] for column, name in _CLASSES.items() if row.get(column)}
    skipped[finding("input-lacks", table=TABLE, what="the exam's group", kind="table")].append(str(home))
    return {}


def _read_ukbb(home: Path, by_stem: dict[str, Path], skipped: Skipped) -> list[Volume]:
    """For each view, the frames if one of them has labels, otherwise the cine."""
    volumes = []
    for name, view in _UKBB_VIEWS.items():
        cine = by_stem.pop(name, None)
        frames = _frames(by_stem, name, f"label_{name}_{{}}")
        masks = [mask for _, mask in frames.values() if mask is not None]
        if cine is not None and not masks:
            skipped[finding("file-not-used", kind="cine")] += (str(image) for image, _ in frames.values())
            volumes.append(Volume(cine, None, home.name, view=view))
            continue
        if cine is not None:
            skipped[CINE_OF_FRAMES].append(str(cine))
        label_map = LABEL_MAP
        if view == "4ch":
            values = set()
            for mask in masks:
                with suppress(*UNREADABLE):  # the code that reads masks reports it
                    values |= {*structures_of(read_mask(mask)[0])}
            label_map = ATRIA_LABEL_MAP if values and values <= ATRIA_LABEL_MAP.keys() else ALL_LABEL_MAP
        volumes += [Volume(*pair, home.name, phase, view=view, label_map=label_map) for phase, pair in frames.items()]
    for name, path in by_stem.items():
        code, kind = ("mask-as-image", "predicted") if _UKBB_PREDICTION.match(name) else ("file-not-used", "image")
        skipped[finding(code, kind=kind)].append(str(path))
    return volumes
