"""Colour photographs, as PNG or JPEG, and the tables with their grades.

The rule
--------
- A file that ends in ``.png``, ``.jpg`` or ``.jpeg`` counts as a photograph if it is a complete image in red, green and
  blue with at least `MIN_SIDE` pixels on each side. Only its header and its last bytes are read, not its pixels.
- Tables are the CSV files of the tree, or the one that ``--classes`` names: a header row, then a row for each
  photograph, with its name first. APTOS has ``train.csv`` (``id_code,diagnosis``), the 2015 set ``trainLabels.csv``
  (``image,level``). The column called ``grade``, ``diagnosis`` or ``level``, or otherwise the only other column, is the
  grade, a whole number starting at 0. Other columns keep their names. Kaggle's ``sample_submission.csv`` is ignored:
  its grades are made up. A bundle's ``predictions.csv`` is ignored, too: a network predicted its grades.
- A photograph's patient comes from the column ``patient``. Without that column, photographs belong to one patient if
  their names differ only in the eye (``10_left``, ``10_right``, or ``left`` and ``right`` in one folder), or if they
  have the same name in several folders.
- Identical copies of a file, as in APTOS, count once; if their grades differ, the photograph has no grade.
"""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from planewise.checksum import sha256
from planewise.errors import InputError
from planewise.exams.refusals import EMPTY
from planewise.exams.reserved import RESERVED
from planewise.exams.volume import FoundVolumes, Volume
from planewise.exams.words import some_of
from planewise.text_files import read_csv

#: Endings of photographs' file names.
ENDINGS = (".png", ".jpg", ".jpeg")
#: A photograph whose shorter side has fewer pixels is a thumbnail.
MIN_SIDE = 64
#: Names of a column of grades.
GRADES = ("grade", "diagnosis", "level")
#: Names of a column of patients.
PATIENTS = ("patient", "patient_id", "patientid", "subject")

NO_PHOTOGRAPH = "neither PNG nor JPEG, despite its name"
OTHER_FILE = "neither a photograph (.png, .jpg, .jpeg) nor a table of them (.csv)"
CUT = "truncated: the photograph ends before its pixels do"
THUMBNAIL = f"fewer than {MIN_SIDE} pixels on a side: a thumbnail"
TOO_LARGE = "more pixels than any camera has"
COPY = "the same photograph as another, byte for byte"
PREDICTIONS = (
    "a network predicted its grades, so they are not labels; copy those that a person has checked to another table"
)
SUBMISSION = "Kaggle's sample_submission.csv: its grades are made up"

_EYE = re.compile(r"[_-]?(left|right|od|os)$", re.IGNORECASE)
#: A column of the tables that `planewise.evaluation.GradeWriter` and `GradingReport` write.
_PREDICTED = re.compile(r"p\(.+ or above\)")
_SUBMISSION = re.compile(r"sample_?submission\.csv$", re.IGNORECASE)
#: Number of bytes at the end of a file in which to search for the end of the image, because programs append notes.
_TAIL = 2**16


def is_photograph(path: str | Path) -> bool:
    """Whether a file is a photograph by its name."""
    return str(path).lower().endswith(ENDINGS)


def open_photograph(path: str | Path) -> Image.Image:
    """Open a PNG or JPEG file and read its header, not its pixels. Pillow raises the errors of a file that it cannot open."""
    with warnings.catch_warnings():
        # Pillow warns at half of its limit
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path, formats=("PNG", "JPEG"))


def photograph_problem(path: Path) -> str:
    """The reason why a file cannot be used as a photograph, in words; empty if it can. Its pixels are not read."""
    try:
        size = path.stat().st_size
        if not size:
            return EMPTY
        with open_photograph(path) as image:
            kind, mode, sides = image.format, image.mode, image.size
        with open(path, "rb") as file:
            file.seek(max(0, size - _TAIL))
            tail = file.read()
    except UnidentifiedImageError:
        return NO_PHOTOGRAPH
    except Image.DecompressionBombError:
        return TOO_LARGE
    except (OSError, ValueError, SyntaxError):  # Pillow raises SyntaxError for broken PNG files
        return "photograph that cannot be read"
    if min(sides) < MIN_SIDE:
        return THUMBNAIL
    if (b"IEND" if kind == "PNG" else b"\xff\xd9") not in tail:
        return CUT
    return colour_problem(mode)


def colour_problem(mode: str) -> str:
    """The reason why a photograph with this colour mode of Pillow cannot be used; empty if it can."""
    if mode == "RGB":
        return ""
    known = {
        "L": "shades of grey",
        "1": "black and white",
        "P": "a palette",
        "RGBA": "opacity",
        "CMYK": "printing inks (CMYK)",
    }
    what = known.get(mode, "shades of grey" if mode.startswith(("I", "LA", "F")) else mode)
    return f"photograph with {what}: it must have only red, green and blue; convert it"


def read_photographs(paths: Iterable[Path], tables: Iterable[Path], folder: Path) -> FoundVolumes:
    """Photographs with their grades.

    Args:
        paths: files named like photographs.
        tables: CSV files.
        folder: folder that contains the photographs.

    Returns:
        A `Volume` for each photograph, with its row as classes and the highest grade of its patient as group.
    """
    skipped: dict[str, list[str]] = defaultdict(list)
    photographs = []
    for path in paths:
        if problem := photograph_problem(path):
            skipped[problem].append(str(path))
        else:
            photographs.append(Volume(path, None, path.stem))
    _name(photographs, folder)
    for photograph in photographs:
        photograph.named_key = photograph.patient_key
    problems: dict[str, list[str]] = defaultdict(list)
    rows: dict[int, list[dict[str, object]]] = defaultdict(list)
    named = _Names(photographs, folder)
    read = 0
    for table in tables:
        if _SUBMISSION.search(table.name):
            skipped[SUBMISSION].append(str(table))
            continue
        found = _read_table(table, named, problems)
        read += found is not None
        for name, row in (found or {}).items():
            meant = named.find(name)
            if not meant:
                problems["no photograph has this name"].append(name)
            for index in meant:
                rows[index].append(row)
    for index, photograph in enumerate(photographs):
        _add_row(photograph, rows.get(index, []), problems)
    kept = _without_copies(photographs, skipped, problems)
    if read:
        problems["without a grade: usable for pretexts only"] += [
            photograph.case for photograph in kept if "grade" not in photograph.classes
        ]
    worst: dict[str, int] = {}
    for photograph in kept:
        if (grade := photograph.classes.get("grade")) is not None:
            worst[photograph.patient_key] = max(grade, worst.get(photograph.patient_key, 0))
    for photograph in kept:
        photograph.group = str(worst.get(photograph.patient_key, ""))
    unmatched = [(some_of(names), reason) for reason, names in problems.items() if names]
    return FoundVolumes(kept, dict(skipped), unmatched)


def read_grade_table(path: Path) -> Path:
    """Check that a table, which a person named, exists.

    Raises:
        InputError: there is no such file.
    """
    if not path.is_file():
        raise InputError(f"--classes {path}: there is no such file; name a CSV with a header row, such as image,grade")
    return path


class _Names:
    """The names of photographs: the file's name, with or without its ending, and with folders in front."""

    def __init__(self, photographs: Sequence[Volume], folder: Path) -> None:
        self._by_name: dict[str, list[int]] = defaultdict(list)
        self._by_number: dict[str, list[int]] = defaultdict(list)
        for index, photograph in enumerate(photographs):
            path = photograph.image
            parts = path.relative_to(folder).parts if path.is_relative_to(folder) else (path.name,)
            for start in range(len(parts)):
                whole = "/".join(parts[start:])
                for name in {whole, whole[: -len(path.suffix)]}:
                    self._by_name[name].append(index)
            if path.stem.isdecimal():
                self._by_number[path.stem.lstrip("0")].append(index)

    def find(self, name: str) -> list[int]:
        """The photographs that a row names. Spreadsheets strip leading zeros from a number."""
        name = name.replace("\\", "/").removeprefix("./")
        if name in self._by_name:
            return self._by_name[name]
        return self._by_number.get(name.lstrip("0"), []) if name.isdecimal() else []


def _name(photographs: Sequence[Volume], folder: Path) -> None:
    """Give each photograph a patient, and an identifier that does not depend on where indexing began."""
    homes = defaultdict(set)
    for photograph in photographs:
        homes[photograph.folder.name, photograph.image.name].add(photograph.folder)
    for photograph in photographs:
        home = photograph.folder
        unique = len(homes[home.name, photograph.image.name]) == 1
        place = home.name if unique or not home.is_relative_to(folder) else home.relative_to(folder).as_posix()
        photograph.key = f"photograph:{place}/{photograph.image.name}"
        # a name that is only the word for an eye does not identify the patient; the folder does
        photograph.patient_key = f"photograph:{_EYE.sub('', photograph.case) or place}"


def _read_table(path: Path, named: _Names, problems: dict[str, list[str]]) -> dict[str, dict[str, object]] | None:
    """Maps names to rows; None if the file is not a table of photographs. Errors in it go to ``problems``."""
    try:
        lines = read_csv(path)
    except InputError:
        problems["it cannot be read as CSV"].append(path.name)
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
    graded = next((header.index(name) for name in GRADES if name in header[1:]), 1 if len(header) == 2 else None)
    patients = next((header.index(name) for name in PATIENTS if name in header[1:]), None)
    rows: dict[str, dict[str, object]] = {}
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
            row["patient"] = cells[patients]
        if graded is not None and (text := cells.get(graded, "")):
            grade = _typed(text)
            if isinstance(grade, int) and grade >= 0:
                row["grade"] = grade
            else:
                problems[f"the grade is not a whole number of 0 or more ({lines[0][graded]}): left out"].append(line[0])
        if rows.setdefault(line[0], row) != row:
            problems["two rows of this name disagree: neither is used"].append(line[0])
            rows[line[0]] = {}
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


def _add_row(photograph: Volume, rows: Sequence[dict[str, object]], problems: dict[str, list[str]]) -> None:
    """Give a photograph the values on which its rows (one for each table that names it) agree."""
    merged: dict[str, object] = {}
    apart = set()
    for row in rows:
        apart |= {name for name, value in row.items() if merged.setdefault(name, value) != value}
    if apart:
        problems[f"tables disagree in {', '.join(sorted(apart))}: left out"].append(photograph.case)
    patient = merged.pop("patient", None)
    if patient is not None and "patient" not in apart:
        photograph.patient_key = f"photograph:patient:{patient}"
    photograph.classes = {name: value for name, value in merged.items() if name not in apart}


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
