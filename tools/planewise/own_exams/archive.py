"""Work through the exams of a folder: keep finished exams, leave out broken exams, and list all exams on a page, the worst
first."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from multiprocessing import active_children, get_context
from pathlib import Path
from textwrap import shorten
from typing import Any, TypeAlias

import torch

import planewise
from planewise.data.readable_items import reason_of
from planewise.errors import InputError, causes
from planewise.exams.datalist import check_output, folders_table, write_places
from planewise.exams.scan import end_with_parent
from planewise.files.atomic_write import atomic_write, claim_folder
from planewise.files.masks import CORRECTED, MASK
from planewise.files.text import read_json
from planewise.findings import FLAG, Finding, finding, from_record, said, sentences
from planewise.own_exams.bundles import Note
from planewise.own_exams.exam_page import PAGE, filled
from planewise.own_exams.heart_stacks import LeftOut, LoadedStack, by_exam, load_stack, place_of, slices_of, stacks_in
from planewise.preprocessing.exam_name import volume_name
from planewise.reports.tables import write_csv, write_json
from planewise.words import count_of

logger = logging.getLogger(__name__)

_TABLE = "exams.csv"
#: Most letters of a reason on the terminal, where each exam has one line; the table has the whole reason.
SHORT = 150
#: What came of an exam: its summary, or why it is left out.
_Outcome: TypeAlias = "Summary | Sequence[Finding]"


@dataclass(frozen=True)
class Summary:
    """An exam in the table of an archive."""

    values: Mapping[str, object]
    """the value of each column; None if unknown"""
    findings: Sequence[Finding]
    severity: float
    """larger is worse"""
    flagged: Sequence[str] = ()
    """columns of the values that the flags concern"""
    corrected: Sequence[str] = ()
    """columns of the values that come from masks that a person corrected"""

    @property
    def flags(self) -> list[Finding]:
        """Problems that a person should look at."""
        return [found for found in dict.fromkeys(self.findings) if found.level == FLAG or found.marks]

    @property
    def remarks(self) -> list[Finding]:
        """Further findings, for the table as CSV."""
        return [found for found in dict.fromkeys(self.findings) if found not in self.flags]


@dataclass(frozen=True)
class MadePage:
    """Results for an exam. Its files are deleted if the call had no output folder."""

    name: str
    """the exam's hash"""
    page: Path
    lines: Sequence[str]
    """lines about the results, for a terminal"""
    item: Mapping[str, Any]
    """the item of `find_inputs` for the planned stack, or for the stack at end-diastole"""
    files: Sequence[Path]
    """every file that was written, the page first"""
    summary: Summary

    @cached_property
    def stack(self) -> LoadedStack:
        """Image and affines, read again from the exam's files."""
        return load_stack(self.item)


def written_in(*folders: Path) -> list[Path]:
    """The files in folders, without corrected masks, an exam's page first."""
    files = (file for folder in folders for file in folder.iterdir() if file.is_file() and CORRECTED not in file.name)
    return sorted(files, key=lambda file: (folders.index(file.parent), file.name != PAGE, file.name))


@dataclass(frozen=True)
class ExamWork:
    """The work of `planewise plan` or `planewise segment` on the exams of a path."""

    command: str
    """``plan`` or ``segment``"""
    stacks: Sequence[Mapping[str, Any]]
    settings: Mapping[str, object]
    """everything else that determines the results (the weights' checksums and the options), as plain values"""
    left_out: Mapping[str, LeftOut]
    make: Callable[[str, Sequence[Mapping[str, Any]], Path], Any]
    """runs the bundles on the stacks of an exam, and makes its results (`MadePage`) in a folder"""
    note: Note
    skipped: Mapping[Finding, int]
    """number of the files that were not read, by reason"""
    title: str
    explained: str
    """what the archive's page says about its numbers"""

    @classmethod
    def at(
        cls,
        command: str,
        path: str | Path,
        settings: Mapping[str, Any],
        straight: bool,
        workers: int,
        make: Callable[[str, Sequence[Mapping[str, Any]], Path], Any],
        **about: Any,
    ) -> ExamWork:
        """The work on the exams at a path; `stacks_in` explains ``straight``, ``workers`` and ``min_obliquity``."""
        skipped: dict[Finding, int] = {}
        path = Path(path).expanduser().resolve()
        stacks, left_out = stacks_in(path, settings["min_obliquity"], straight, skipped, workers)
        return cls(command, stacks, settings, left_out, make, skipped=skipped, **about)

    @cached_property
    def exams(self) -> dict[str, list[Mapping[str, Any]]]:
        """The stacks of each exam, under the name of its results."""
        return by_exam(self.stacks)

    def run(self, output: str | Path | None) -> list[Any]:
        """The results of all exams, one after the other, in a folder, or without files if it is None; exams that are left out
        are logged."""
        if output is None:
            with tempfile.TemporaryDirectory(prefix="planewise-") as folder:
                return self.run(folder)
        made, refused = [], {exam: said(left.why) for exam, left in self.left_out.items()}
        for exam, items in self.exams.items():
            try:
                made.append(self.make(exam, items, Path(output).expanduser().resolve()))
            except InputError as error:
                if len(self.exams) == 1:
                    raise
                refused[exam] = str(error)
        for exam, why in refused.items():
            logger.warning("exam %s is left out: %s", exam, why)
        if not made:
            raise InputError("; ".join(f"exam {exam}: {why}" for exam, why in refused.items()))
        return made


@dataclass
class Archive:
    """The results for the exams of a folder: the overview as a page and as CSV, and what it lists."""

    page: Path
    table: Path
    folders: Path
    """private table of the exams' hashes and folders; with ``--anonymous``, next to the folder of the results"""
    finished: dict[str, Summary] = field(default_factory=dict)
    """the summary of each finished exam, worst first"""
    left_out: dict[str, Sequence[Finding]] = field(default_factory=dict)
    kept: int = 0
    """number of finished exams whose results are from an earlier run"""

    @property
    def flagged(self) -> int:
        """Number of finished exams with a flag."""
        return sum(bool(summary.flags) for summary in self.finished.values())

    @property
    def counts(self) -> str:
        """How many exams are finished, flagged and left out, in words."""
        return f"{count_of(len(self.finished), 'exam')} finished, {self.flagged} flagged, {len(self.left_out)} left out"


def work_through(work: ExamWork, output: Path, tell: Callable[[str], None], jobs: int = 1) -> Archive:
    """Make the results of every unfinished exam, and write the overview. The table of folders is written first.

    An exam is finished if its results were made from the same files (by name, size and time), weights, options and
    version, and if nobody has changed a mask since. The overview is also written if the run is stopped; the next run
    continues.

    Args:
        work: the exams, and the work to do on them.
        output: folder for the overview and for a folder of each exam.
        tell: called with a line for each exam.
        jobs: number of processes. They are forked (`alone`), and each uses its share of the cores.

    Raises:
        InputError: the folder belongs to another command or process or cannot be written to, or no exam can be used.
        OSError: the disk is full; like a folder that cannot be written to, this ends the work.
    """
    if jobs > 1 and sys.platform != "linux":
        raise InputError("--jobs needs Linux, because other systems cannot fork this process safely; leave it out")
    _claim(output, work.command)
    exams = work.exams
    done = Archive(output / PAGE, output / _TABLE, _places(work, output))
    done.left_out |= {exam: left.why for exam, left in work.left_out.items()}
    for name in exams:
        if summary := _earlier(work, name, output):
            done.finished[name] = summary
    done.kept = len(done.finished)
    todo = [name for name in exams if name not in done.finished]
    if done.kept:
        tell(f"{done.kept} of {len(exams)} exams are finished and unchanged")
    numbers = itertools.count(done.kept + 1)

    def end(name: str, outcome: _Outcome) -> None:
        if isinstance(outcome, Summary):
            done.finished[name], told = outcome, f"finished, {count_of(len(outcome.flags), 'flag')}"
        else:
            done.left_out[name] = outcome
            told = shorten(f"left out: {said(outcome)}", SHORT, placeholder=" ...")
        tell(f"{next(numbers)} of {len(exams)}: exam {name}: {told}")

    try:
        one = partial(_one, work, output)
        if jobs > 1 and len(todo) > 1:
            _in_processes(min(jobs, len(todo)), one, todo, end)
        else:
            for name in todo:
                end(name, one(name))
    finally:
        done.left_out = {name: done.left_out[name] for name in (*work.left_out, *exams) if name in done.left_out}
        _write(done, work)
    if not done.finished:
        name, why = next(iter(done.left_out.items()))
        raise InputError(f"none of the {len(exams)} exams can be used; the first, exam {name}: {said(why)}")
    return done


def _one(work: ExamWork, output: Path, name: str) -> _Outcome:
    """Make the results of one exam."""
    items, record = work.exams[name], output / name / f"{work.command}.done.json"
    record.unlink(missing_ok=True)
    made_from = _made_from(work, name)
    try:
        summary = work.make(name, items, output).summary
        told = {**vars(summary), "findings": [found.record() for found in summary.findings]}
        write_json(record, {"made_from": made_from, "masks": _masks(work, name, output), **told})
    except Exception as error:  # an error in one exam must not stop the others
        full = errno.ENOSPC, errno.EDQUOT
        if any(isinstance(cause, OSError) and cause.errno in full for cause in causes(error)):
            raise  # a full disk would stop the other exams, too
        why = (
            reason_of(error) if isinstance(error, InputError) else finding("exam-unusable", error=type(error).__name__)
        )
        # the folder's name may be a person's
        folder = json.dumps(str(place_of(items)[0]))[1:-1]
        return [from_record(json.loads(json.dumps(why.record()).replace(folder, "...")))]
    return summary


@contextmanager
def alone() -> Iterator[None]:
    """Let PyTorch use one thread. A process that is forked after PyTorch has started more hangs when it uses several itself,
    so loaded weights and all else before `work_through` need this context."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _in_processes(
    jobs: int, one: Callable[[str], _Outcome], names: Sequence[str], end: Callable[[str, _Outcome], None]
) -> None:
    """Call ``one`` with each name in a number of processes, and ``end`` with the name and the outcome. An error ends them."""
    threads, others = max(1, torch.get_num_threads() // jobs), active_children()
    pool = ProcessPoolExecutor(jobs, get_context("fork"), _begin, (one, threads))
    futures = {pool.submit(_next, name): name for name in names}
    try:
        for future in as_completed(futures):
            end(futures[future], future.result())
    except BaseException as error:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in (each for each in active_children() if each not in others):
            process.terminate()
            while process.exitcode is None:  # the pool's thread may have seen the end, and not noted it yet
                process.join()
        if not isinstance(error, BrokenProcessPool):
            raise
        why = "a process was killed, perhaps because memory was short; start the command again with fewer --jobs"
        raise InputError(f"{why}. Finished exams are kept") from error
    pool.shutdown()


#: What each of the processes calls.
_one_here: Callable[[str], _Outcome]


def _begin(one: Callable[[str], _Outcome], threads: int) -> None:
    global _one_here
    _one_here = one
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process, which ends the others
    # a handler that raises, as the command's own and a run's, would end one exam, and the next would begin
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    end_with_parent()
    torch.set_num_threads(threads)


def _next(name: str) -> _Outcome:
    return _one_here(name)


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


def _made_from(work: ExamWork, name: str) -> str:
    """A checksum of everything on which an exam's results depend; the values themselves stay hidden, because the paths may
    contain a person's name."""
    files = _states({str(entry["image"]): Path(entry["image"]) for entry in slices_of(work.exams[name])})
    findings, settings = [item.get("findings") for item in work.exams[name]], work.settings
    content = json.dumps([files, findings, settings, planewise.__version__], sort_keys=True, default=str)
    return hashlib.sha256(content.encode(errors="backslashreplace")).hexdigest()


def _masks(work: ExamWork, name: str, output: Path) -> list[list]:
    """The states of an exam's masks, which a person may change."""
    names = {volume_name(item) for item in work.exams[name]}
    folders = [output / name, *(folder / each for each in names for folder in (output, output / "masks"))]
    patterns = (f"*{MASK}.nii.gz", "*.seg.nrrd", f"*{CORRECTED}*")
    return _states({file.name: file for folder in folders for pattern in patterns for file in folder.glob(pattern)})


def _states(files: Mapping[str, Path]) -> list[list]:
    """Name, size and time of each file, sorted."""
    found = []
    for name, file in sorted(files.items()):
        status = file.stat() if file.exists() else None
        found.append([name, status.st_size, status.st_mtime_ns] if status else [name, -1, -1])
    return found


def _earlier(work: ExamWork, name: str, output: Path) -> Summary | None:
    """The summary of a finished exam; None if the exam is unfinished or must be repeated."""
    try:
        known = read_json(output / name / f"{work.command}.done.json")
        state = (known.pop("made_from"), known.pop("masks"), True)
        same = state == (_made_from(work, name), _masks(work, name, output), (output / name / PAGE).is_file())
        known["findings"] = [*map(from_record, known["findings"])]
        return Summary(**known) if same else None
    except (InputError, KeyError, TypeError, AttributeError):
        return None


def _places(work: ExamWork, output: Path) -> Path:
    """Write the private table of the exams' folders, before the first exam, because the terminal names exams by hashes.
    If people may send the folder of the results, the table is next to it."""
    places = {name: place_of(items) for name, items in work.exams.items()}
    places |= {name: place_of(left.items) for name, left in work.left_out.items()}
    beside = output / _TABLE
    if work.settings.get("anonymous"):
        folders_table(beside).unlink(missing_ok=True)  # of an earlier run
        beside = output.with_name(f"{output.name}_{_TABLE}")
    table = check_output(folders_table(beside))
    write_places(beside, places)
    return table


def _write(done: Archive, work: ExamWork) -> None:
    """Write the table and the page, the worst exam first."""
    done.finished = dict(sorted(done.finished.items(), key=lambda each: (-each[1].severity, each[0])))
    rows: list[dict[str, object]] = []
    for name, exam in done.finished.items():
        # the numbers stay numbers: their marks have a column of their own
        marks = {"flagged": exam.flagged, "flags": sentences(exam.flags), "corrected": exam.corrected}
        texts = {key: "; ".join(each) for key, each in {**marks, "remarks": sentences(exam.remarks)}.items()}
        page = {"note": work.note.made_by, "page": f"{name}/{PAGE}"}
        rows.append({"exam": name, **exam.values, **texts, **page})
    rows += [{"exam": name, "left_out": said(why)} for name, why in done.left_out.items()]
    values = dict.fromkeys(key for exam in done.finished.values() for key in exam.values)
    keys = ["exam", *values, "flagged", "flags", "corrected", "remarks", "left_out", "note", "page"]
    cells = {key: ["" if row.get(key) is None else row[key] for row in rows] for key in keys}
    write_csv(done.table, cells)
    with atomic_write(done.page) as part:
        part.write_text(archive_page(work, done), encoding="utf-8")


def archive_page(work: ExamWork, done: Archive) -> str:
    """The page of all exams as HTML that works without a network connection."""
    counts = done.counts
    if waiting := len(work.exams.keys() - done.finished.keys() - done.left_out.keys()):
        counts += f"; {waiting} not processed yet: start the command again to continue"
    left_out = [(exam, said(why)) for exam, why in done.left_out.items()]
    heads = {key: key.replace("_", " ") for exam in done.finished.values() for key in exam.values}
    content = {"exams": done.finished, "counts": counts, "heads": heads, "cell": _cell, "left_out": left_out}
    return filled("archive.html", work.title, work=work, page=PAGE, **content)


def _cell(value: object) -> str:
    if value is None or value != value:  # NaN
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else str(value)
