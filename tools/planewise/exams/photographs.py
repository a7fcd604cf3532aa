"""Colour photographs, as PNG or JPEG, and the tables with their grades.

The rule
--------
- A file that ends in ``.png``, ``.jpg`` or ``.jpeg`` counts as a photograph if it is a complete image in red, green and
  blue with at least `photograph_files.MIN_SIDE` pixels on each side. Only its header and its last bytes are read, not its
  pixels.
- Tables are the CSV files of the tree, or the one that ``--classes`` names: a header row, then a row for each
  photograph, with its name first. APTOS has ``train.csv`` (``id_code,diagnosis``), the 2015 set ``trainLabels.csv``
  (``image,level``). The column called ``grade``, ``diagnosis`` or ``level``, or otherwise the only other one besides
  ``patient``, is the grade, a whole number starting at 0. Other columns keep their names. Kaggle's ``sample_submission.csv``
  is ignored: its grades are made up. A bundle's ``predictions.csv`` is refused: a network predicted its grades.
- A photograph's patient comes from the column ``patient``; otherwise it is the name in front of ``_left`` or ``_right``
  (``10_left``), or else the whole name. Photographs of one name in several folders belong to one patient.
- Names are compared in Unicode's composed form (NFC), because macOS writes an umlaut as two characters.
- Identical copies of a file, as in APTOS, count once; if their grades differ, the photograph has no grade.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from planewise.errors import InputError
from planewise.exams.labels import agreed
from planewise.exams.volume import FoundVolumes, Skipped, Volume
from planewise.files.checksum import sha256
from planewise.files.datalists import RESERVED
from planewise.files.photographs import photograph_problem
from planewise.files.text import read_csv
from planewise.findings import Finding, finding
from planewise.words import composed, some_of

#: Names of a column of grades, and of the column of patients.
GRADES, PATIENT = ("grade", "diagnosis", "level"), "patient"

UNGRADED, UNKNOWN = finding("label-missing", label="a grade"), finding("name-unknown")
COPY, SUBMISSION = finding("file-not-used", kind="bytes"), finding("file-not-used", kind="submission")
UNREADABLE, NO_HEADER, PREDICTIONS, NO_VALUE = (
    finding("table-unusable", kind=kind) for kind in ("csv", "header", "predicted", "names")
)

#: A column of the tables that `planewise.evaluation.GradeWriter` and `GradingReport` write.
_PREDICTED = re.compile(r"p\(.+ or above\)")
_SUBMISSION = re.compile(r"sample_?submission\.csv$", re.IGNORECASE)
_EYE = re.compile(r"(^|_)(left|right)$", re.IGNORECASE)
#: The raw identifier of a patient whom a table names begins like this.
_BY_TABLE = "photograph:patient:"

_Rows = dict[int, list[dict[str, object]]]
_Problems = dict[Finding, list[str]]


def read_photographs(
    paths: Iterable[Path], tables: Iterable[Path], folder: Path, patients: Path | None = None
) -> FoundVolumes:
    """Photographs with their grades.

    Args:
        paths: files named like photographs.
        tables: CSV files.
        folder: folder that contains the photographs.
        patients: a CSV file of which only the patients are read, as aliases.

    Returns:
        A `Volume` for each photograph, with its row as classes and the highest grade of its patient as group.

    Raises:
        InputError: a table cannot be read as CSV, and no other one names a photograph.
    """
    skipped: Skipped = defaultdict(list)
    photographs: list[Volume] = []
    for path in paths:
        if problem := photograph_problem(path):
            skipped[problem].append(str(path))
        else:
            photographs.append(Volume(path, None, path.stem))
    _name(photographs, folder)
    by_name = _by_name(photographs, folder)
    others, _ = _rows_of([patients] if patients else [], by_name, defaultdict(list))
    for photograph, patient in zip(photographs, _patients(photographs, others, defaultdict(list)), strict=True):
        photograph.aliases = [photograph.patient_key, patient]
    problems: _Problems = defaultdict(list)
    tables = [*tables]
    skipped[SUBMISSION] += [str(table) for table in tables if _SUBMISSION.search(table.name)]
    rows, read = _rows_of([table for table in tables if str(table) not in skipped[SUBMISSION]], by_name, problems)
    if photographs and problems[UNREADABLE] and not rows:
        raise InputError(
            f"no photograph has a grade; {some_of(problems[UNREADABLE])}: {UNREADABLE}; save the table as CSV UTF-8, or take "
            "it out of the folder"
        )
    for photograph, patient in zip(photographs, _patients(photographs, rows, problems), strict=True):
        photograph.patient_key = patient
    kept = _without_copies(photographs, skipped, problems)
    worst: dict[str, int] = {}
    for photograph in kept:
        if (grade := photograph.classes.get("grade")) is not None:
            worst[photograph.patient_key] = max(grade, worst.get(photograph.patient_key, 0))
        elif read:
            problems[UNGRADED].append(photograph.case)
    for photograph in kept:
        photograph.group = str(worst.get(photograph.patient_key, ""))
    there = {id(photograph) for photograph in kept}
    several = [name for name in read if sum(id(photographs[index]) in there for index in by_name.get(name, ())) > 1]
    return FoundVolumes(
        kept,
        {reason: files for reason, files in skipped.items() if files},
        [(some_of(names), reason) for reason, names in problems.items() if names],
        warnings=[finding("names-several", count=len(several), names=several)] if several else [],
    )


def read_grade_table(path: Path) -> Path:
    """Check that a table that a person named can be read.

    Raises:
        InputError: there is no such file, or it is not a CSV.
    """
    if not path.is_file():
        raise InputError(f"--classes {path}: there is no such file; name a CSV with a header row, such as image,grade")
    read_csv(path)
    return path


def unused_table(table: Path, found: FoundVolumes) -> Finding | None:
    """Why no photograph gets a value from a table that a person named; None if one does, or if there are no photographs."""
    if not found.volumes or any(each.classes or each.patient_key.startswith(_BY_TABLE) for each in found.volumes):
        return None
    reasons = (why.about(f"--classes {table}: {names}") for names, why in found.unmatched if why != UNGRADED)
    return next(reasons, NO_VALUE.about(f"--classes {table}"))


def _name(photographs: Sequence[Volume], folder: Path) -> None:
    """Give each photograph a patient, and an identifier that does not depend on where indexing began."""
    lie_in: dict[tuple[str, str], set[Path]] = defaultdict(set)
    for photograph in photographs:
        lie_in[photograph.folder.absolute().name, photograph.image.name].add(photograph.folder)
    for photograph in photographs:
        place = photograph.folder.absolute().name
        photograph.patient_key = f"photograph:{composed(_EYE.sub('', photograph.case) or place)}"
        if len(lie_in[place, photograph.image.name]) > 1 and photograph.folder.is_relative_to(folder):
            place = photograph.folder.relative_to(folder).as_posix()
        photograph.key = composed(f"photograph:{place}/{photograph.image.name}")


def _by_name(photographs: Sequence[Volume], folder: Path) -> dict[str, list[int]]:
    """Maps the names of photographs (the file's, with or without its ending, and with folders in front) to their numbers."""
    found: dict[str, list[int]] = defaultdict(list)
    for index, path in enumerate(photograph.image for photograph in photographs):
        parts = path.relative_to(folder).parts if path.is_relative_to(folder) else (path.name,)
        for start in range(len(parts)):
            whole = composed("/".join(parts[start:]))
            for name in {whole, whole.removesuffix(path.suffix)}:
                found[name].append(index)
    return dict(found)


def _rows_of(
    tables: Sequence[Path], by_name: dict[str, list[int]], problems: _Problems
) -> tuple[_Rows, dict[str, None]]:
    """The rows of each photograph, and all names in the tables."""
    rows: _Rows = defaultdict(list)
    names: dict[str, None] = {}
    for name, row in (entry for table in tables for entry in _read_table(table, by_name, problems)):
        names[name] = None
        for index in by_name.get(name, ()):
            rows[index].append(row)
    problems[UNKNOWN] += [name for name in names if name not in by_name]
    return rows, names


def _read_table(path: Path, by_name: dict[str, list[int]], problems: _Problems) -> list[tuple[str, dict[str, object]]]:
    """Names and their rows; none if the file is not a table of photographs. Errors in it go to ``problems``."""
    try:
        header, *lines = read_csv(path) or [[]]
    except InputError:
        problems[UNREADABLE].append(path.name)
        return []
    if max(map(len, [header, *lines])) < 2:
        return []  # APTOS' test.csv is a list of names
    columns = [name.lower() for name in header]
    named = [name for name in columns if name]
    if len({*named}) < len(named) or len(named) < 2 or header[0] in by_name:
        problems[NO_HEADER].append(path.name)
        return []
    if any(map(_PREDICTED.fullmatch, columns)):
        problems[PREDICTIONS].append(path.name)
        return []
    others = [name for name in named[1:] if name != PATIENT]
    grade = next((name for name in GRADES if name in others), others[0] if len(others) == 1 else "")
    for name, column in zip(header[1:], columns[1:], strict=True):
        if name in RESERVED and column not in (grade, PATIENT):
            problems[finding("table-row", kind="reserved")].append(name)
    rows = []
    for line in lines:
        if not line[0] or any(line[len(header) :]):
            problems[finding("table-row", kind="cells")].append(",".join(line)[:40])
            continue
        row: dict[str, object] = {}
        for name, column, text in zip(header[1:], columns[1:], line[1:], strict=False):
            value = _typed(text)
            if not text or not column or (name in RESERVED and column not in (grade, PATIENT)):
                continue
            if column == PATIENT:
                row["patient"] = composed(text)
            elif column != grade:
                row[name] = value
            elif isinstance(value, int) and value >= 0:
                row["grade"] = value
            else:
                reason = finding(
                    "table-row", kind="value", column=name, value=text[:20], wanted="a whole number of 0 or more"
                )
                problems[reason].append(line[0])
        rows.append((composed(line[0].replace("\\", "/").removeprefix("./")), row))
    return rows


def _typed(text: str) -> int | float | str:
    """A number if the text is one; ``2.0`` is whole, and non-finite values stay text."""
    try:
        value = float(text.replace("_", "?"))  # Python would read 5_0 as 50
    except ValueError:
        return text
    if not math.isfinite(value):
        return text
    return int(value) if value == int(value) else value


def _patients(photographs: Sequence[Volume], rows: _Rows, problems: _Problems) -> list[str]:
    """Give the photographs the values on which their rows agree, and return the raw identifier of each photograph's patient.
    The patient of one photograph counts for all others that belong to the same patient by their names."""
    known, of_name = [], defaultdict(set)
    for index, photograph in enumerate(photographs):
        photograph.classes, why = agreed(rows.get(index, []))
        if why:
            problems[why].append(photograph.case)
        known.append(str(photograph.classes.pop("patient", "")))
        of_name[photograph.patient_key] |= {known[-1]} - {""}
    keys = []
    for photograph, patient in zip(photographs, known, strict=True):
        of_same = of_name[photograph.patient_key]
        patient = patient or (next(iter(of_same)) if len(of_same) == 1 else "")
        keys.append(_BY_TABLE + patient if patient else photograph.patient_key)
    return keys


def _without_copies(photographs: Sequence[Volume], skipped: Skipped, problems: _Problems) -> list[Volume]:
    """One copy of each photograph: the first with a grade, otherwise the first."""
    sizes = Counter(photograph.image.stat().st_size for photograph in photographs)
    same: dict[object, list[Volume]] = defaultdict(list)
    for photograph in photographs:
        size = photograph.image.stat().st_size
        # few files have the same size, so few must be read
        same[size if sizes[size] == 1 else sha256(photograph.image)].append(photograph)
    left_out = set()
    for group in same.values():
        first = next((photograph for photograph in group if "grade" in photograph.classes), group[0])
        left_out |= {id(photograph) for photograph in group if photograph is not first}
        skipped[COPY] += [str(photograph.image) for photograph in group if photograph is not first]
        if len({photograph.classes["grade"] for photograph in group if "grade" in photograph.classes}) > 1:
            problems[finding("rows-disagree", columns=["grade"])].append(first.case)
            del first.classes["grade"]
    return [photograph for photograph in photographs if id(photograph) not in left_out]
