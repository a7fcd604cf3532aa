"""Work through many exams: keep finished exams, leave out broken exams, and list all exams on a page, the worst
first."""

from __future__ import annotations

import errno
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import Any

import planewise
from planewise.data.readable_items import reason_of
from planewise.errors import InputError, causes
from planewise.exams.datalist import check_output, folders_table, write_places
from planewise.files.atomic_write import atomic_write
from planewise.files.text import read_json
from planewise.findings import Finding, finding, from_record, said, sentences
from planewise.locks import claim_folder
from planewise.own_exams.corrected_masks import changed_since, corrected_in, mask_folders
from planewise.own_exams.exam_page import filled
from planewise.own_exams.heart_bundles import PAGE, ExamWork, Summary, place_of, slices_of
from planewise.reports.tables import write_csv, write_json
from planewise.words import count_of, duration

_TABLE = "exams.csv"
#: Most letters of a reason on the terminal, where each exam has one line; the table has the whole reason.
SHORT = 150
_UNITS = {"deg": "deg", "mm": "mm", "ml": "ml", "g": "g", "percent": "%"}


@dataclass
class Archive:
    """The results for the exams of a folder.

    Attributes:
        page: the overview page.
        table: the overview as CSV.
        folders: private table of the exams' hashes and folders; with ``--anonymous``, next to the folder of the results.
        finished: maps the name of each finished exam to its summary, worst first.
        left_out: maps the name of each exam without results to the reasons.
        kept: number of finished exams whose results are from an earlier run.
    """

    page: Path
    table: Path
    folders: Path
    finished: dict[str, Summary] = field(default_factory=dict)
    left_out: dict[str, Sequence[Finding]] = field(default_factory=dict)
    kept: int = 0

    @property
    def flagged(self) -> int:
        """Number of finished exams with a flag."""
        return sum(bool(summary.flags) for summary in self.finished.values())

    def with_code(self, code: str) -> list[str]:
        """Names of the finished exams that have a finding of this code."""
        return [name for name, summary in self.finished.items() if summary.of(code)]

    @property
    def counts(self) -> str:
        """How many exams are finished, flagged and left out, in words."""
        said = f"{count_of(len(self.finished), 'exam')} finished, {self.flagged} flagged, {len(self.left_out)} left out"
        for code, what in (("corrected-mask", "with masks that a person changed"), ("no-dicom", "without DICOM files")):
            said += f"; {len(names)} {what}" if (names := self.with_code(code)) else ""
        return said


def work_through(work: ExamWork, output: Path, tell: Callable[[str], None]) -> Archive:
    """Make the results of every unfinished exam, and write the overview. The table of folders is written first.

    An exam is finished if its results were made from the same files (by name, size and time), weights, options and
    version, and if nobody has changed a mask since. The overview is also written if the run is stopped; the next run
    continues.

    Args:
        work: the exams, and the work to do on them.
        output: folder for the overview and for a folder of each exam.
        tell: called with a line for each exam, with the time left.

    Raises:
        InputError: the folder belongs to another command or process or cannot be written to, or no exam can be used.
        OSError: the disk is full; like a folder that cannot be written to, this ends the work.
    """
    _claim(output, work.command)
    exams, places = work.exams, _places(work, output)
    done = Archive(
        output / PAGE, output / _TABLE, places, left_out={exam: left.why for exam, left in work.left_out.items()}
    )
    made_from = {name: _made_from(items, work.settings) for name, items in exams.items()}
    for name, items in exams.items():
        record = _record(output, name, work.command)
        if summary := _earlier(record, made_from[name], output / name / PAGE, mask_folders(name, items, output)):
            done.finished[name] = summary
    done.kept = len(done.finished)
    todo = [name for name in exams if name not in done.finished]
    if done.kept:
        tell(f"{done.kept} of {len(exams)} exams are finished and unchanged")
    began = time.monotonic()
    try:
        for number, name in enumerate(todo, start=1):
            line = _one(work, name, output, made_from[name], done)
            left = (time.monotonic() - began) / number * (len(todo) - number)
            rest = f" (about {duration(left)} left)" if left >= 1 else ""
            tell(f"{done.kept + number} of {len(exams)}: exam {name}: {line}{rest}")
    finally:
        _write(done, work)
    if not done.finished:
        name, why = next(iter(done.left_out.items()))
        raise InputError(f"none of the {len(exams)} exams can be used; the first, exam {name}: {said(why)}")
    return done


def _one(work: ExamWork, name: str, output: Path, made_from: str, done: Archive) -> str:
    """Make the results of one exam, and return one line about the exam for the user."""
    items, record = work.exams[name], _record(output, name, work.command)
    record.unlink(missing_ok=True)
    try:
        (exam,) = work.run(items, output)
        summary = work.summary(exam)
        masks = corrected_in(mask_folders(name, items, output))
        told = {**vars(summary), "findings": [found.record() for found in summary.findings]}
        write_json(record, {"made_from": made_from, "masks": masks, **told})
    except Exception as error:  # an error in one exam must not stop the others
        if _is_full(error):
            raise
        done.left_out[name] = [_without_path(error, items)]
        return shorten(f"left out: {said(done.left_out[name])}", SHORT, placeholder=" ...")
    done.finished[name] = summary
    return "; ".join([summary.words, *([count_of(len(summary.flags), "flag")] if summary.flags else [])])


def _without_path(error: Exception, items: Sequence[Mapping[str, Any]]) -> Finding:
    """Why an exam cannot be used, without its folder, whose name may be a person's."""
    if not isinstance(error, InputError):
        return finding("exam-unusable", error=type(error).__name__)
    why, (folder, _) = reason_of(error), place_of(items)
    return from_record(json.loads(json.dumps(why.record()).replace(json.dumps(str(folder))[1:-1], "...")))


def _is_full(error: BaseException) -> bool:
    """Whether an error comes from a full disk, which would stop the other exams, too."""
    full = errno.ENOSPC, errno.EDQUOT
    return any(isinstance(cause, OSError) and cause.errno in full for cause in causes(error))


def _claim(output: Path, command: str) -> None:
    """Reserve a folder for this process and for the results of one command."""
    claim_folder(output)
    record, known = output / "archive.json", None
    with suppress(InputError):
        known = read_json(record)
    before = known.get("command") if isinstance(known, dict) else None
    if before not in (None, command):
        raise InputError(f"{output} contains an archive of `planewise {before}`; name another folder (-o)")
    write_json(record, {"command": command})


def _record(output: Path, name: str, command: str) -> Path:
    return output / name / f"{command}.done.json"


def _made_from(items: Sequence[Mapping[str, Any]], settings: Mapping[str, object]) -> str:
    """A checksum of everything on which an exam's results depend; the values themselves stay hidden, because the paths
    may contain a person's name."""
    files = []
    for path in sorted({str(entry["image"]) for entry in slices_of(items)}):
        try:
            status = Path(path).stat()
            files.append((path, status.st_size, status.st_mtime_ns))
        except OSError:
            files.append((path, -1, -1))
    findings = [item.get("findings") for item in items]
    content = json.dumps([files, findings, settings, planewise.__version__], sort_keys=True, default=str)
    return hashlib.sha256(content.encode(errors="backslashreplace")).hexdigest()


def _earlier(record: Path, made_from: str, page: Path, folders: Sequence[Path]) -> Summary | None:
    """The summary of a finished exam; None if the exam is unfinished or must be repeated."""
    try:
        known = read_json(record)
        kept = known.pop("made_from") == made_from and known.pop("masks") == corrected_in(folders) and page.is_file()
        known["findings"] = [*map(from_record, known["findings"])]
        return Summary(**known) if kept and not changed_since(record, folders) else None
    except (InputError, KeyError, TypeError, AttributeError):
        return None


def _places(work: ExamWork, output: Path) -> Path:
    """Write the private table of the exams' folders, before the first exam, because the terminal names exams by hashes.
    If people may send the folder of the results, the table is next to it."""
    places = {name: place_of(items) for name, items in work.exams.items()}
    places |= {name: (left.folder, left.image or left.folder) for name, left in work.left_out.items()}
    beside = output / _TABLE
    if work.settings.get("anonymous"):
        folders_table(beside).unlink(missing_ok=True)  # of an earlier run
        beside = output.with_name(f"{output.name}_{_TABLE}")
    table = check_output(folders_table(beside))
    write_places(beside, places)
    return table


def _write(done: Archive, work: ExamWork) -> None:
    def best_last(entry: tuple[str, Summary]) -> tuple[bool, float, str]:
        return not entry[1].not_a_heart, -entry[1].severity, entry[0]

    done.finished = dict(sorted(done.finished.items(), key=best_last))
    finished = done.finished.values()
    columns: dict[str, list[object]] = {"exam": [*done.finished]}
    for key in dict.fromkeys(key for summary in finished for key in summary.values):
        values = [summary.values.get(key) for summary in finished]
        columns[key] = ["" if value is None else value for value in values]
    # the numbers stay numbers: their marks have a column of their own
    columns["flagged"] = ["; ".join(summary.flagged) for summary in finished]
    columns["flags"] = ["; ".join(sentences(summary.flags)) for summary in finished]
    if work.command == "segment":
        columns["corrected"] = ["; ".join(summary.corrected) for summary in finished]
    columns["remarks"] = ["; ".join(sentences(summary.remarks)) for summary in finished]
    columns["left_out"] = [""] * len(finished)
    columns["note"] = [work.note.made_by] * len(finished)
    columns["page"] = [f"{name}/{PAGE}" for name in done.finished]
    without = {"exam": [*done.left_out], "left_out": [*map(said, done.left_out.values())]}
    empty = [""] * len(done.left_out)
    write_csv(done.table, {key: [*cells, *without.get(key, empty)] for key, cells in columns.items()})
    with atomic_write(done.page) as part:
        part.write_text(archive_page(work, done), encoding="utf-8")


def archive_page(work: ExamWork, done: Archive) -> str:
    """The page of all exams as HTML that works without a network connection."""
    known = [key for exam in done.finished.values() for key, value in exam.values.items() if _cell(value) != "-"]
    counts = done.counts
    if waiting := len(work.exams.keys() - done.finished.keys() - done.left_out.keys()):
        counts += f"; {waiting} not processed yet: start the command again to continue"
    files = sorted(((count, str(why)) for why, count in work.skipped.items()), reverse=True)
    left_out = [(exam, said(why)) for exam, why in done.left_out.items()]
    reasons = (("Left out", "exam", left_out), ("Files that were not read", "files", files))
    heads = {key: _head(key) for exam in done.finished.values() for key in exam.values if key in known}
    return filled(
        "archive.html", work.title, work=work, exams=done.finished, counts=counts, heads=heads, cell=_cell, page=PAGE,
        reasons=reasons,
    )  # fmt: skip


def _head(column: str) -> str:
    """A column's name in words: ``2ch_angle_deg`` to ``2ch angle, deg``."""
    words, _, unit = column.rpartition("_")
    return f"{words.replace('_', ' ')}, {_UNITS[unit]}" if unit in _UNITS else column.replace("_", " ")


def _cell(value: object) -> str:
    if value is None or value != value:  # NaN
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else str(value)
