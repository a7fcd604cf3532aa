"""Colour photographs, as PNG or JPEG, and the tables with their grades (tools/docs/datalist.md, "Photographs")."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from planewise.errors import InputError
from planewise.exams.tables import KnownNames, agreed, exam_names, typed
from planewise.exams.volume import FoundVolumes, Skipped, Volume
from planewise.files.checksum import sha256
from planewise.files.datalists import RESERVED
from planewise.files.photographs import photograph_problem
from planewise.files.text import read_csv
from planewise.findings import Finding, finding
from planewise.words import composed, some_of

#: Names of a column of grades, and of the column of patients.
GRADES, PATIENT = ("grade", "diagnosis", "level"), "patient"
COPY, NO_VALUE = finding("file-not-used", kind="bytes"), finding("table-unusable", kind="table")
#: A column of the tables that `planewise.evaluation.GradeWriter` and `GradingReport` write.
_PREDICTED = re.compile(r"p\(.+ or above\)")
_EYE = re.compile(r"(^|_)(left|right)$", re.IGNORECASE)


def read_photographs(paths: Iterable[Path], tables: Iterable[Path], folder: Path) -> FoundVolumes:
    """A `Volume` for each of the files ``paths`` below ``folder`` that is a photograph, with its row in the CSV files
    ``tables`` as classes and the highest grade of its patient as group."""
    skipped: Skipped = defaultdict(list)
    photographs: list[Volume] = []
    for path in paths:
        if problem := photograph_problem(path):
            skipped[problem].append(str(path))
        else:
            photographs.append(Volume(path, None, path.stem))
    _name(photographs, folder)
    known = KnownNames(exam_names(photograph, folder) for photograph in photographs)
    problems: dict[Finding, list[str]] = defaultdict(list)
    rows: dict[int, list[dict[str, object]]] = defaultdict(list)
    for name, row in (entry for table in tables for entry in _read_table(table, problems)):
        found = known.find(name)
        for index in found:
            rows[index].append(row)
        if not found:
            problems[finding("name-unusable", kind="unknown")].append(name)
    for index, photograph in enumerate(photographs):
        photograph.classes, why = agreed(rows[index])
        if why:
            problems[why].append(photograph.case)
        if patient := photograph.classes.pop(PATIENT, None):
            photograph.patient_key = f"photograph:patient:{patient}"
    kept = _without_copies(photographs, skipped, problems)
    worst: dict[str, int] = {}
    for photograph in kept:
        if (grade := photograph.classes.get("grade")) is not None:
            worst[photograph.patient_key] = max(grade, worst.get(photograph.patient_key, 0))
        elif any(rows.values()):
            problems[finding("input-lacks", label="a grade", kind="label")].append(photograph.case)
    for photograph in kept:
        photograph.group = str(worst.get(photograph.patient_key, ""))
    return FoundVolumes(
        kept,
        {reason: files for reason, files in skipped.items() if files},
        [(some_of(names), reason) for reason, names in problems.items() if names],
    )


def unused_table(table: Path, found: FoundVolumes) -> Finding | None:
    """Why no photograph gets a value from a table that a person named; None if one does, or if there are no photographs."""
    if not found.volumes or any(
        each.classes or each.patient_key.startswith("photograph:patient:") for each in found.volumes
    ):
        return None
    return NO_VALUE.about(f"--classes {table}")


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


def _read_table(path: Path, problems: dict[Finding, list[str]]) -> list[tuple[str, dict[str, object]]]:
    """Names and their rows; none if the file is not a table of photographs, or its grades are not people's."""
    try:
        header, *lines = read_csv(path) or [[]]
    except InputError:
        header, lines = [], []
    ours = path.name.lower().replace("_", "") == "samplesubmission.csv" or any(map(_PREDICTED.fullmatch, header))
    if ours or not header:
        problems[NO_VALUE].append(path.name)
        return []
    rows = []
    for name, *cells in lines:
        row: dict[str, object] = {}
        for column, text in zip(map(str.lower, header[1:]), cells, strict=False):
            if column in GRADES and text.isdecimal():
                row["grade"] = int(text)
            elif column in GRADES and text:
                values = {"column": column, "value": text[:20], "wanted": "a whole number of 0 or more"}
                problems[finding("table-unusable", kind="value", **values)].append(name)
            elif text and (column == PATIENT or (column and column not in RESERVED)):
                row[column] = composed(text) if column == PATIENT else typed([text])[0]
        rows.append((name, row))
    return rows


def _without_copies(
    photographs: Sequence[Volume], skipped: Skipped, problems: dict[Finding, list[str]]
) -> list[Volume]:
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
            problems[finding("table-unusable", columns=["grade"], kind="rows")].append(first.case)
            del first.classes["grade"]
    return [photograph for photograph in photographs if id(photograph) not in left_out]
