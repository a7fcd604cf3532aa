"""Read the tables that people add: label maps, and classes as CSV, and match their names with exams."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from planewise.errors import InputError
from planewise.exams.exam import Exam
from planewise.exams.volume import Volume
from planewise.files import text as text_files
from planewise.files.datalists import RESERVED
from planewise.files.masks import LARGEST_LABEL
from planewise.findings import Finding, finding
from planewise.words import composed, loose


def read_label_map(given: str | Path | Mapping[int, int]) -> dict[str, int]:
    """A mapping of mask values, ``{1: 3, 2: 2, 3: 1}``, or a YAML file that contains one, in the datalist's form.

    Raises:
        InputError: it is not a mapping of whole numbers, or a new value does not fit into a mask.
    """
    path = "label_map" if isinstance(given, Mapping) else Path(given).expanduser()
    content = given if isinstance(given, Mapping) else text_files.read_yaml(path, "a label map")
    pairs = [*content.items()] if isinstance(content, Mapping) else []
    whole = all(type(number) is int for pair in pairs for number in pair)
    if not pairs or not whole or not all(0 <= value <= LARGEST_LABEL for _, value in pairs):
        raise InputError(
            f"{path}: a label map assigns whole numbers from 0 to {LARGEST_LABEL} to whole numbers, like `1: 3`"
        )
    return {str(key): value for key, value in content.items()}


def read_classes(path: Path) -> tuple[dict[str, dict[str, object]], list[tuple[str, Finding]]]:
    """Read a CSV with a header row: the first column names an exam, the other columns are its classes.

    Columns of numbers become numbers. Rows without a name (padding) are ignored.

    Returns:
        Maps names to classes; and the classes in which two rows of one name disagree.

    Raises:
        InputError: the file cannot be read, or has no header row or no classes; or the name of a column is missing,
            repeated, or a key that items use themselves.
    """
    header, *rows = text_files.read_csv(path) or [[]]
    names = header[1:]
    cells = zip(*[header, *rows], strict=False)
    headless = any(name in column or not isinstance(typed([name])[0], str) for name, *column in cells)
    whole = rows and names and all(row[0] for row in rows) and max(map(len, rows)) <= len(header)
    if headless or not whole or len({*names} - {""} - RESERVED) < len(names):
        raise InputError(
            f"{path} needs a header row (exam,group) with different names, none of them a key of items such as label, then "
            "one row per exam: its name, then its classes, and no more cells than the header"
        )
    columns = [typed([row[index] if index < len(row) else "" for row in rows]) for index in range(1, len(header))]
    by_name: dict[str, list[dict[str, object]]] = defaultdict(list)
    for row, values in zip(rows, zip(*columns, strict=True), strict=True):
        by_name[row[0]].append({name: value for name, value in zip(names, values, strict=True) if value != ""})
    merged = {exam: agreed(own) for exam, own in by_name.items()}
    return {exam: entry for exam, (entry, _) in merged.items()}, [
        (exam, why) for exam, (_, why) in merged.items() if why
    ]


def agreed(rows: Sequence[dict[str, object]]) -> tuple[dict[str, object], Finding | None]:
    """The values that the rows of one exam share, and in which classes the rows disagree."""
    merged: dict[str, object] = {}
    contradicted = set()
    for row in rows:
        contradicted |= {name for name, value in row.items() if merged.setdefault(name, value) != value}
    why = finding("table-unusable", columns=sorted(contradicted), kind="rows") if contradicted else None
    return {name: value for name, value in merged.items() if name not in contradicted}, why


def typed(column: Sequence[str]) -> list[object]:
    """A column of finite numbers as numbers; any other column as it is. Empty cells stay empty."""
    for kind in (int, float):
        try:
            # Python would read 5_0 as 50
            values = [kind(value.replace("_", "?")) if value else "" for value in column]
        except ValueError:
            continue
        if all(value == "" or math.isfinite(value) for value in values):
            return values
    return list(column)


class KnownNames:
    """Finds exams by one of their ``known`` names. An exact match takes precedence over one that differs only in
    leading zeros (``7`` for ``007``) or in capitalisation."""

    def __init__(self, known: Iterable[set[str]]) -> None:
        self._found: dict[str, list[int]] = defaultdict(list)
        for index, names in enumerate(known):
            for name in {*names, *(f"~{loose(name)}" for name in names)}:
                self._found[name].append(index)

    def find(self, name: str) -> list[int]:
        """The indices of the exams that have this name."""
        name = composed(name)
        return self._found.get(name) or self._found.get(f"~{loose(name)}", [])


def exam_names(exam: Exam | Volume, folder: Path) -> set[str]:
    """The names of an exam: its hash, its folders below the indexed one, its PatientID, its case. A photograph is also named
    by its file, with folders in front, and by its patient in the table or in its name."""
    home = exam.folder
    parts = home.relative_to(folder).parts if home.is_relative_to(folder) else ()
    names = {exam.name, exam.patient, *(parts or (home.name,))}
    if exam.case:
        names.add(exam.case)
    if exam.patient_key.startswith("patient:"):
        names.add(exam.patient_key.removeprefix("patient:"))
    if exam.key.startswith("photograph:"):
        names.add(exam.patient_key.removeprefix("photograph:").removeprefix("patient:"))
        files = [*parts, exam.image.name]
        names |= {"/".join([*files[start:-1], name]) for start in range(len(files)) for name in (files[-1], exam.case)}
    return set(map(composed, names))


def add_classes(
    class_rows: dict[str, dict], exams: Sequence[Exam | Volume], items: list[dict], folder: Path
) -> list[tuple[str, Finding]]:
    """Give items the classes of their exam; a row may name several exams of one patient.

    Returns:
        Rows that match no exam or several patients, and exams whose rows disagree: name and reason.
    """
    by_name = KnownNames(exam_names(exam, folder) for exam in exams)
    rows: dict[str, list[dict]] = defaultdict(list)
    unmatched = []
    for name, row in class_rows.items():
        found = [exams[index] for index in by_name.find(name)]
        patients = {exam.patient for exam in found}
        if len(patients) == 1:
            for each in {exam.name for exam in found}:
                rows[each].append(row)
        else:
            several = finding("name-unusable", kind="patients", count=len(patients))
            unmatched.append((name, several if found else finding("name-unusable", kind="unknown")))
    classes = {}
    for exam, own in rows.items():
        classes[exam], why = agreed(own)
        unmatched += [(exam, why)] if why else []
    for item in items:
        item |= classes.get(item["exam"], {})
    return unmatched
