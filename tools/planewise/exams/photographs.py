"""Colour photographs, as PNG or JPEG, and the tables with their grades.

The rule
--------
- A file that ends in ``.png``, ``.jpg`` or ``.jpeg`` counts as a photograph if it is a complete image in red, green and
  blue with at least `photograph_files.MIN_SIDE` pixels on each side. Only its header and its last bytes are read, not its
  pixels.
- Tables are the CSV files of the tree, or the one that ``--classes`` names: a header row, then a row for each
  photograph, with its name first. APTOS has ``train.csv`` (``id_code,diagnosis``), the 2015 set ``trainLabels.csv``
  (``image,level``). The column called ``grade``, ``diagnosis`` or ``level``, or otherwise the only other one (besides the
  patients), is the grade, a whole number starting at 0. Other columns keep their names. Kaggle's
  ``sample_submission.csv`` is ignored: its grades are made up. A bundle's ``predictions.csv`` is ignored, too: a network
  predicted its grades.
- A photograph's patient comes from the column ``patient`` (`PATIENTS`). Otherwise it is the part of the name in front of the
  word for an eye (``10_left``, ``10_right``, ``10_OD_2``) or behind it (``left_10``), the folder of ``left``, or else the
  whole name. Photographs of one name in several folders belong to one patient. A row for one photograph also gives the
  patient of the others that belong to the same patient by their names.
- Names are compared in Unicode's composed form (NFC), because macOS writes an umlaut as two characters.
- Identical copies of a file, as in APTOS, count once; if their grades differ, the photograph has no grade.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from planewise.checksum import sha256
from planewise.errors import InputError
from planewise.exams.photograph_files import photograph_problem
from planewise.exams.reserved import RESERVED
from planewise.exams.volume import FoundVolumes, Volume
from planewise.exams.words import composed, count_of, listed, some_of
from planewise.text_files import read_csv

#: More photographs of one patient than this, four of each eye, are noted: the name may stand for several people.
MANY = 8
#: Names of a column of grades.
GRADES = ("grade", "diagnosis", "level")
#: Names of a column of patients, without capitals, spaces and other signs.
PATIENTS = (
    "patient", "patientid", "patientnumber", "patid", "subject", "subjectid", "participant", "participantid", "mrn",
)  # fmt: skip

UNGRADED = "without a grade: usable for pretexts only"
UNKNOWN = "no photograph has this name"
COPY = "the same photograph as another, byte for byte"
PREDICTIONS = (
    "a network predicted its grades, so they are not labels; copy those that a person has checked to another table"
)
SUBMISSION = "Kaggle's sample_submission.csv: its grades are made up"

#: A column of the tables that `planewise.evaluation.GradeWriter` and `GradingReport` write.
_PREDICTED = re.compile(r"p\(.+ or above\)")
_UNREADABLE = "it cannot be read as CSV"
#: The word for an eye, with separators or after a digit (7os).
_EYE = re.compile(r"(?:^|[\W_]+|(?<=\d))(?:left|right|od|os|l|r)(?:[\W_]+|$)", re.IGNORECASE)
_SUBMISSION = re.compile(r"sample_?submission\.csv$", re.IGNORECASE)
#: The raw identifier of a patient whom a table names begins like this.
_BY_TABLE = "photograph:patient:"


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
    skipped: dict[str, list[str]] = defaultdict(list)
    photographs = []
    for path in paths:
        if problem := photograph_problem(path):
            skipped[problem].append(str(path))
        else:
            photographs.append(Volume(path, None, path.stem))
    _name(photographs, folder)
    problems: dict[str, list[str]] = defaultdict(list)
    rows: dict[int, list[dict[str, object]]] = defaultdict(list)
    named = _Names(photographs, folder)
    others: dict[int, list[dict[str, object]]] = defaultdict(list)
    for name, row in (_read_table(patients, named, defaultdict(list)) or ()) if patients else ():
        for index in named.find(name):
            others[index].append(row)
    also = _patients(photographs, others, defaultdict(list))
    for photograph, patient in zip(photographs, also, strict=True):
        photograph.aliases = [photograph.patient_key, patient]
    fitting: dict[str, list[int]] = {}
    read = 0
    for table in tables:
        if _SUBMISSION.search(table.name):
            skipped[SUBMISSION].append(str(table))
            continue
        found = _read_table(table, named, problems)
        read += found is not None
        unknown: dict[str, None] = {}
        for name, row in found or ():
            meant = named.find(name)
            if not meant:
                unknown[name] = None
            fitting[name] = meant
            for index in meant:
                rows[index].append(row)
        problems[UNKNOWN] += unknown
    if photographs and problems[_UNREADABLE] and not rows:
        raise InputError(
            f"no photograph has a grade, because {some_of(problems[_UNREADABLE])} cannot be read as CSV; save the table as "
            "CSV UTF-8, or take it out of the folder"
        )
    for photograph, patient in zip(photographs, _patients(photographs, rows, problems), strict=True):
        photograph.patient_key = patient
    kept = _without_copies(photographs, skipped, problems)
    if read:
        for photograph in kept:
            if "grade" not in photograph.classes:
                names = [name for name, value in photograph.classes.items() if isinstance(value, int)]
                unless = (
                    f", unless {listed(names, 'or')} is the grade: then rename this column to grade" if names else ""
                )
                problems[f"{UNGRADED}{unless}"].append(photograph.case)
    worst: dict[str, int] = {}
    for photograph in kept:
        if (grade := photograph.classes.get("grade")) is not None:
            worst[photograph.patient_key] = max(grade, worst.get(photograph.patient_key, 0))
    for photograph in kept:
        photograph.group = str(worst.get(photograph.patient_key, ""))
    unmatched = [(some_of(names), reason) for reason, names in problems.items() if names]
    notes = _guesses(kept)
    there = {id(photograph) for photograph in kept}
    if several := [
        name for name, meant in fitting.items() if sum(id(photographs[index]) in there for index in meant) > 1
    ]:
        fit = "fits several photographs, and its" if len(several) == 1 else "each fit several photographs, and their"
        notes.append(
            f"{count_of(len(several), 'name')} in the table {fit} values count for all of them: "
            f"{some_of(several)}; if they are different visits, write their folders into the table (2019/10_left.png)"
        )
    return FoundVolumes(kept, dict(skipped), unmatched, warnings=notes)


def read_grade_table(path: Path) -> Path:
    """Check that a table that a person named can be read.

    Raises:
        InputError: there is no such file, or it is not a CSV.
    """
    if not path.is_file():
        raise InputError(f"--classes {path}: there is no such file; name a CSV with a header row, such as image,grade")
    read_csv(path)
    return path


def unused_table(table: Path, found: FoundVolumes) -> str:
    """Why no photograph gets a value from a table that a person named; empty if one does, or if there are no photographs."""
    photographs = found.volumes
    if not photographs or any(each.classes or each.patient_key.startswith(_BY_TABLE) for each in photographs):
        return ""
    reasons = [f"{reason}: {names}" for names, reason in found.unmatched if not reason.startswith(UNGRADED)]
    return (
        f"--classes {table}: no photograph gets a value from this table ({'; '.join(reasons) or 'it has one column'}); it "
        "needs a header row, such as image,patient,grade, then a row for each photograph, with its file's name first"
    )


class _Names:
    """The names of photographs: the file's name, with or without its ending, and with folders in front."""

    def __init__(self, photographs: Sequence[Volume], folder: Path) -> None:
        self._by_name: dict[str, list[int]] = defaultdict(list)
        for index, photograph in enumerate(photographs):
            path = photograph.image
            parts = path.relative_to(folder).parts if path.is_relative_to(folder) else (path.name,)
            for start in range(len(parts)):
                whole = composed("/".join(parts[start:]))
                for name in {whole, whole[: -len(path.suffix)]}:
                    self._by_name[name].append(index)

    def find(self, name: str) -> list[int]:
        """The photographs that a row names."""
        return self._by_name.get(composed(name.replace("\\", "/").removeprefix("./")), [])


def _name(photographs: Sequence[Volume], folder: Path) -> None:
    """Give each photograph a patient, and an identifier that does not depend on where indexing began."""
    places = [Path(os.path.abspath(photograph.folder)).name for photograph in photographs]
    lie_in: dict[tuple[str, str], set[Path]] = defaultdict(set)
    for photograph, place in zip(photographs, places, strict=True):
        lie_in[place, photograph.image.name].add(photograph.folder)
    for photograph, place in zip(photographs, places, strict=True):
        parts = _EYE.split(photograph.case, maxsplit=1)
        photograph.patient_key = f"photograph:{composed(next(filter(None, parts), place))}"
        if len(lie_in[place, photograph.image.name]) > 1 and photograph.folder.is_relative_to(folder):
            place = photograph.folder.relative_to(folder).as_posix()
        photograph.key = composed(f"photograph:{place}/{photograph.image.name}")


def _guesses(photographs: Sequence[Volume]) -> list[str]:
    """Say where names alone decide who is a patient, because they may be wrong."""
    folders, counts = defaultdict(set), Counter()
    for photograph in photographs:
        if not photograph.patient_key.startswith(_BY_TABLE):
            folders[photograph.patient_key].add(photograph.folder)
            counts[photograph.patient_key] += 1
    spread = [key.partition(":")[2] for key, homes in folders.items() if len(homes) > 1]
    many = [f"{key.partition(':')[2]} ({count})" for key, count in counts.most_common() if count > MANY]
    remedy = "if such a name stands for several people, name the patients in a column `patient` of the table"
    return [
        f"{count_of(len(names), 'patient')} with {what}: {some_of(names)}; {remedy}"
        for names, what in ((spread, "photographs in several folders"), (many, f"more than {MANY} photographs"))
        if names
    ]


def _read_table(
    path: Path, named: _Names, problems: dict[str, list[str]]
) -> list[tuple[str, dict[str, object]]] | None:
    """Names and their rows; None if the file is not a table of photographs. Errors in it go to ``problems``."""
    try:
        lines = read_csv(path)
    except InputError:
        problems[_UNREADABLE].append(path.name)
        return None
    if max(map(len, lines), default=0) < 2:
        return None  # APTOS' test.csv is a list of names
    names = [name for name in lines[0] if name]
    if len({*names}) < len(names) or len(names) < 2:
        problems["its first row repeats a name or has only one: not read"].append(path.name)
        return None
    header = [name.lower() for name in lines[0]]
    if any(_PREDICTED.fullmatch(name) for name in header):
        problems[PREDICTIONS].append(path.name)
        return None
    if named.find(lines[0][0]):
        problems["it has no header row, such as image,grade: not read"].append(path.name)
        return None
    letters = ["", *(re.sub(r"[\W_]", "", name) for name in header[1:])]
    patients = next((letters.index(name) for name in PATIENTS if name in letters), None)
    others = [index for index, name in enumerate(header) if index not in (0, patients) and name]
    only = others[0] if len(others) == 1 else None
    graded = next((header.index(name) for name in GRADES if name in header[1:]), only)
    problems["an item has a key of this name already: column left out; rename it, for example to grade"] += [
        name for index, name in enumerate(lines[0]) if name in RESERVED and index not in (0, graded, patients)
    ]
    rows: list[tuple[str, dict[str, object]]] = []
    for line in lines[1:]:
        if not line[0] or any(line[len(header) :]):
            problems["a row without a name, or with more cells than the header: not used"].append(",".join(line)[:40])
            continue
        cells = dict(enumerate(line))
        row: dict[str, object] = {}
        for index, name in enumerate(lines[0]):
            value = cells.get(index, "")
            if index in (0, graded, patients) or not name or name in RESERVED or not value:
                continue
            row[name] = _typed(value)
        if patients is not None and cells.get(patients):
            row["patient"] = composed(cells[patients])
        if graded is not None and (text := cells.get(graded, "")):
            grade = _typed(text)
            if isinstance(grade, int) and grade >= 0:
                row["grade"] = grade
            else:
                problems[f"the grade is not a whole number of 0 or more ({lines[0][graded]}): left out"].append(line[0])
        rows.append((line[0], row))
    return rows


def _typed(text: str) -> int | float | str:
    """A number if the text is one; ``2.0`` is whole, and non-finite values stay text."""
    try:
        value = float(text.replace("_", "?"))  # Python would read 5_0 as 50
    except ValueError:
        return text
    if value != value or value in (float("inf"), float("-inf")):
        return text
    return int(value) if value == int(value) else value


def _add_row(photograph: Volume, rows: Sequence[dict[str, object]], problems: dict[str, list[str]]) -> str:
    """Give a photograph the values on which its rows, in one table or several, agree.

    Returns:
        The patient in the rows; empty if there is none.
    """
    merged: dict[str, object] = {}
    apart = set()
    for row in rows:
        apart |= {name for name, value in row.items() if merged.setdefault(name, value) != value}
    if apart:
        problems[f"rows disagree in {', '.join(sorted(apart))}: left out"].append(photograph.case)
    agreed = {name: value for name, value in merged.items() if name not in apart}
    patient = str(agreed.pop("patient", ""))
    photograph.classes = agreed
    return patient


def _patients(
    photographs: Sequence[Volume], rows: Mapping[int, Sequence[dict[str, object]]], problems: dict[str, list[str]]
) -> list[str]:
    """Give the photographs the values of their rows, and return the raw identifier of each photograph's patient. The patient
    of one photograph counts for all others that belong to the same patient by their names."""
    known = [_add_row(photograph, rows.get(index, []), problems) for index, photograph in enumerate(photographs)]
    of_name: dict[str, set[str]] = defaultdict(set)
    for photograph, patient in zip(photographs, known, strict=True):
        of_name[photograph.patient_key] |= {patient} - {""}
    keys = []
    for photograph, patient in zip(photographs, known, strict=True):
        of_same = of_name[photograph.patient_key]
        if not patient and len(of_same) > 1:
            reason = (
                "no patient in the table, and other photographs of this name have several: counted as another patient"
            )
            problems[reason].append(photograph.case)
            keys.append(photograph.patient_key)
        else:
            keys.append(_BY_TABLE + (patient or next(iter(of_same))) if of_same else photograph.patient_key)
    return keys


def _without_copies(
    photographs: Sequence[Volume], skipped: dict[str, list[str]], problems: dict[str, list[str]]
) -> list[Volume]:
    """One copy of each photograph: the first with a grade, otherwise the first."""
    same: dict[object, list[Volume]] = defaultdict(list)
    sizes = defaultdict(list)
    for photograph in photographs:
        sizes[photograph.image.stat().st_size].append(photograph)
    for size, group in sizes.items():
        for photograph in group:
            # few files have the same size, so few must be read
            same[size if len(group) == 1 else sha256(photograph.image)].append(photograph)
    left_out = set()
    for group in same.values():
        first = next((photograph for photograph in group if "grade" in photograph.classes), group[0])
        left_out |= {id(photograph) for photograph in group if photograph is not first}
        skipped[COPY] += [str(photograph.image) for photograph in group if photograph is not first]
        if len({photograph.classes["grade"] for photograph in group if "grade" in photograph.classes}) > 1:
            problems["copies of this photograph have different grades: left out"].append(first.case)
            del first.classes["grade"]
    if not skipped[COPY]:
        del skipped[COPY]
    return [photograph for photograph in photographs if id(photograph) not in left_out]
