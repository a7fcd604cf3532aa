"""Test that an archive keeps finished exams, survives a broken exam, and lists the worst exam first."""

import csv
import errno
import io
import json
import multiprocessing
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
from planewise.commands import app
from planewise.commands.own_exams import _show_archive, show_pages
from planewise.errors import InputError
from planewise.exams import inputs, scan
from planewise.exams.scan import scan_folder
from planewise.files.atomic_write import unwritable
from planewise.findings import finding
from planewise.own_exams.archive import ExamWork, Summary, work_through
from planewise.own_exams.bundles import Note
from planewise.own_exams.heart_stacks import LeftOut
from planewise.workshop.phantoms import UNLABELLED, Recipe, write_exams
from pydicom.data import get_testdata_file
from rich.console import Console
from typer.testing import CliRunner

FAR = finding("view-far", "2ch", values=["20 mm"], limits=["5 mm"])
NO_STACK = [finding("no-stack", least=3, most=1)]


class Broken(Exception):
    """An unforeseen error."""


@pytest.fixture
def files(tmp_path):
    """The files of three exams."""
    made = [tmp_path / "in" / f"Doe_{name}.nii.gz" for name in "abc"]
    made[0].parent.mkdir()
    for file in made:
        file.write_text("image")
    return made


class Work:
    """Counts the exams that it processes. An exam's outcome is its severity, an error to raise, or a function to call;
    ``summary`` makes its summary."""

    def __init__(self, files, outcomes, left_out=None, summary=None, **settings):
        self.made = []
        self.outcomes = outcomes
        self.summary = summary or self.usual
        self.work = ExamWork(
            "plan",
            [{"image": str(file), "exam": file.name[4:5] * 4} for file in files],
            settings,
            left_out or {},
            self.make,
            Note("Planes by some weights.", "Their error is unknown."),
            {},
            "Planned exams",
            "What the numbers mean.",
        )

    def usual(self, exam):
        return Summary({"2ch_angle_deg": exam, "2ch_offset_mm": None}, [FAR] * (exam > 1), exam)

    def make(self, exam, items, output):
        self.made.append(exam)
        outcome = self.outcomes[exam]
        if isinstance(outcome, BaseException):
            raise outcome
        if callable(outcome):
            outcome()
        (output / exam).mkdir(exist_ok=True)
        (output / exam / "index.html").write_text("page")
        return SimpleNamespace(summary=self.summary(outcome))


def shown(work, output) -> str:
    """What the terminal shows."""
    console = Console(file=io.StringIO(), width=200)
    _show_archive(work, output, console)
    return console.file.getvalue()


def table(output):
    with open(output / "exams.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("jobs", [1, 2, 9])
def test_a_broken_exam_costs_itself_and_the_worst_comes_first(jobs, files, tmp_path):
    lines = []
    outcomes = {"aaaa": 0.25, "bbbb": Broken("with Doe's name"), "cccc": 3.5}
    done = work_through(Work(files, outcomes).work, tmp_path / "out", lines.append, jobs)
    assert list(done.finished) == ["cccc", "aaaa"] and done.flagged == 1 and done.kept == 0
    why = finding("exam-unusable", error="Broken")
    assert done.left_out == {"bbbb": [why]}
    rows = table(tmp_path / "out")
    assert [(row["exam"], row["2ch_angle_deg"], row["flags"], row["left_out"], row["page"]) for row in rows] == [
        ("cccc", "3.5", str(FAR), "", "cccc/index.html"),
        ("aaaa", "0.25", "", "", "aaaa/index.html"),
        ("bbbb", "", "", str(why), ""),
    ]
    page = (tmp_path / "out/index.html").read_text()
    links = re.findall(r'href="([^"]+)"', page)
    assert links == ["cccc/index.html", "aaaa/index.html"]
    assert all((tmp_path / "out" / link).is_file() for link in links)
    assert "2 exams finished, 1 flagged, 1 left out." in page and "2ch angle deg" in page
    assert [line.split(": ")[0] for line in lines] == ["1 of 3", "2 of 3", "3 of 3"]
    assert sorted(line.split(": ")[1] for line in lines) == ["exam aaaa", "exam bbbb", "exam cccc"]
    for file in (tmp_path / "out").rglob("*"):
        if file.is_file() and file.name != "exams_folders.csv":
            assert "Doe" not in file.read_text(), file
    folders = tmp_path / "out/exams_folders.csv"
    assert "bbbb,../in/Doe_b.nii.gz" in folders.read_text() and folders.stat().st_mode & 0o777 == 0o600


def test_the_folders_of_an_anonymous_archive_are_listed_next_to_it(files, tmp_path):
    shutil.copy(get_testdata_file("CT_small.dcm"), files[0])
    for anonymous in (False, True):
        work = Work(files, dict.fromkeys(("aaaa", "bbbb", "cccc"), 0.5), anonymous=anonymous).work
        said = shown(work, tmp_path / "out")
        table = tmp_path / ("out_exams_folders.csv" if anonymous else "out/exams_folders.csv")
        assert [*tmp_path.rglob("*_folders.csv")] == [table] and table.stat().st_mode & 0o777 == 0o600
        study = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322", "20040119"
        assert f"{'in' if anonymous else '../in'}/Doe_a.nii.gz,{','.join(study)}\n" in table.read_text()
        others = [file.read_text() for file in (tmp_path / "out").rglob("*") if file.is_file() and file != table]
        assert not any(value in text for text in (said, *others) for value in study), "only the private table has them"
        named = f"exams.csv and {table if anonymous else table.name}, which contains paths: keep it on this machine."
        assert named in said.replace("\n", " ")


def test_only_what_changed_is_made_again(files, tmp_path):
    outcomes = {"aaaa": 0.1, "bbbb": InputError(f"{files[1]} cannot be read"), "cccc": 0.2}

    def again(**settings):
        work = Work(files, outcomes, **settings)
        done = work_through(work.work, tmp_path / "out", lambda line: None)
        assert done.finished["cccc"].values == {"2ch_angle_deg": outcomes["cccc"], "2ch_offset_mm": None}
        assert done.finished["cccc"].severity == outcomes["cccc"] and not done.finished["cccc"].flags
        return work.made, done

    made, done = again()
    assert made == ["aaaa", "bbbb", "cccc"] and list(done.left_out) == ["bbbb"]
    assert "Doe" not in (tmp_path / "out/exams.csv").read_text(), "a reason may name a file"
    made, done = again()
    assert made == ["bbbb"] and done.kept == 2, "an exam that cannot be used is tried again"
    outcomes["bbbb"] = 0.3
    assert again()[0] == ["bbbb"] and again()[0] == []
    os.utime(files[0], ns=(1, 1))
    assert again()[0] == ["aaaa"]
    files[1].write_text("another image")
    assert again()[0] == ["bbbb"]
    assert again(weights="others")[0] == ["aaaa", "bbbb", "cccc"] and again(weights="others")[0] == []
    (tmp_path / "out/cccc/index.html").unlink()
    (tmp_path / "out/aaaa/plan.done.json").write_text("{")
    assert again(weights="others")[0] == ["aaaa", "cccc"]


def test_an_exam_whose_masks_a_person_corrected_is_made_again(files, tmp_path):
    out = tmp_path / "out"

    def again():
        work = Work(files[:2], {"aaaa": 1.0, "bbbb": 0.5})
        work_through(work.work, out, lambda line: None)
        return work.made

    again()
    mask = out / "masks/aaaa/aaaa_mask.nii.gz"
    mask.parent.mkdir(parents=True)
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 4, 4), "u1"), np.eye(4)), mask)
    assert again() == ["aaaa"] and again() == []
    os.utime(mask, ns=(1, 1))
    assert again() == ["aaaa"] and again() == []
    # the mask is kept, corrected further, and removed
    kept = mask.rename(mask.with_name("aaaa_mask_corrected.nii.gz"))
    assert again() == ["aaaa"] and again() == []
    os.utime(kept, ns=(2, 2))
    assert again() == ["aaaa"]
    kept.unlink()
    assert again() == ["aaaa"] and again() == []


def test_a_stopped_run_leaves_an_overview_and_continues(files, tmp_path):
    outcomes = {"aaaa": 0.1, "bbbb": KeyboardInterrupt(), "cccc": 0.2}
    with pytest.raises(KeyboardInterrupt):
        work_through(Work(files, outcomes).work, tmp_path / "out", lambda line: None)
    page = (tmp_path / "out/index.html").read_text()
    assert "1 exam finished, 0 flagged, 0 left out; 2 not processed yet: start the command again to continue." in page
    outcomes["bbbb"] = 0.3
    work = Work(files, outcomes)
    assert len(work_through(work.work, tmp_path / "out", lambda line: None).finished) == 3
    assert work.made == ["bbbb", "cccc"]


def test_a_full_disk_stops_the_run(files, tmp_path):
    """Every other exam would fail, too."""
    full = OSError(errno.ENOSPC, "No space left on device")
    unwritten = unwritable(tmp_path / "aaaa_mask.nii.gz", full)
    unwritten.__cause__ = full
    for outcome in (full, unwritten):
        work = Work(files, {"aaaa": 0.5, "bbbb": outcome})
        with pytest.raises(type(outcome), match="No space left on device"):
            work_through(work.work, tmp_path / "out", lambda line: None)
        assert "cccc" not in work.made and "2 not processed yet" in (tmp_path / "out/index.html").read_text()
        assert [row["exam"] for row in table(tmp_path / "out")] == ["aaaa"]


def test_a_killed_process_ends_the_run_and_the_next_one_continues(files, tmp_path):
    outcomes = {"aaaa": 0.1, "bbbb": 0.2, "cccc": lambda: os.kill(os.getpid(), signal.SIGKILL)}
    with pytest.raises(InputError):
        work_through(Work(files, outcomes).work, tmp_path / "out", lambda line: None, jobs=2)
    assert not multiprocessing.active_children()
    work = Work(files, outcomes | {"cccc": 0.3}).work
    done = work_through(work, tmp_path / "out", lambda line: None, jobs=2)
    assert [*done.finished] == ["cccc", "bbbb", "aaaa"] and done.kept


@pytest.fixture
def as_command(request):
    """The handler of `kill` that `planewise` installs, which exits."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    request.addfinalizer(lambda: signal.signal(signal.SIGTERM, before))


def test_ctrl_c_ends_all_processes_and_the_next_run_continues(files, tmp_path, as_command):
    def stop():
        time.sleep(0.5)  # so that the first exam is listed
        for process in (os.getpid(), os.getppid()):  # as from a terminal
            os.kill(process, signal.SIGINT)
        time.sleep(60)

    files.append(files[0].with_name("Doe_d.nii.gz"))
    files[-1].write_text("image")
    late = tmp_path / "begun"
    outcomes = {"aaaa": 0.1, "bbbb": lambda: time.sleep(60), "cccc": stop, "dddd": late.touch}
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        work_through(Work(files, outcomes).work, tmp_path / "out", lambda line: None, jobs=2)
    assert time.monotonic() - began < 30 and not multiprocessing.active_children() and not late.exists()
    assert "3 not processed yet: start the command again" in (tmp_path / "out/index.html").read_text()
    work = Work(files, {"aaaa": 0.1, "bbbb": 0.3, "cccc": 0.2, "dddd": 0.4}).work
    done = work_through(work, tmp_path / "out", lambda line: None, jobs=2)
    assert [*done.finished] == ["dddd", "bbbb", "cccc", "aaaa"] and done.kept == 1


def test_an_error_that_concerns_all_exams_ends_all_processes(files, tmp_path, as_command):
    outcomes = {"aaaa": OSError(errno.ENOSPC, "No space left on device"), "bbbb": lambda: time.sleep(60), "cccc": 0.2}
    with pytest.raises(OSError, match="No space left on device"):
        work_through(Work(files, outcomes).work, tmp_path / "out", lambda line: None, jobs=2)
    assert not multiprocessing.active_children()


def test_several_processes_make_the_files_of_one(tmp_path, monkeypatch):
    """Of two phantom exams, and of one whose images are cut off. They also read the headers."""
    scans = []
    monkeypatch.setattr(
        inputs, "scan_folder", lambda *args, **more: scans.append(args[1]) or scan_folder(*args, **more)
    )
    monkeypatch.setattr(scan, "_SERIAL_FILES", 0)
    population = UNLABELLED.at_size("demo").with_values(phases=2, spacing=(3.4, 3.6), field=(200.0, 210.0))
    list(write_exams(Recipe("dsbcc", seed=3, population=population), tmp_path / "in", 3))
    for file in (tmp_path / "in/train/train/2").rglob("*.dcm"):
        os.truncate(file, file.stat().st_size - 100)
    made = []
    for jobs in (1, 2):
        out = tmp_path / str(jobs) / "out"
        outcome = CliRunner().invoke(app, ["segment", str(tmp_path / "in"), "-o", str(out), "--jobs", str(jobs)])
        assert outcome.exit_code == 0, outcome.output
        made.append({file.relative_to(out): file.read_bytes() for file in out.rglob("*") if file.is_file()})
    assert scans == [1, 2]
    assert made[0].keys() == made[1].keys() and len([*out.glob("*/index.html")]) == 2
    # a DICOM object has its own UID and time, and the record of an exam the times of its masks
    differing = {path.name for path, content in made[0].items() if made[1][path] != content}
    assert not [name for name in differing if not name.endswith((".dcm", ".done.json"))]


def test_one_exam_is_an_archive_if_others_are_left_out_or_were_there(files, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"

    def again(number, **left_out):
        work = Work(files[number : number + 1], {"aaaa": 0.5, "bbbb": 2.0}, left_out).work
        monkeypatch.setattr("planewise.own_exams.planning", lambda *_, **__: work)
        show_pages("plan", "planning", tmp_path, out, anonymous=False)
        return [(row["exam"], row["left_out"]) for row in table(out)], capsys.readouterr().out

    rows, told = again(0, dddd=LeftOut(NO_STACK, [{"image": str(tmp_path / "in/Doe.nii.gz")}]))
    assert [exam for exam, _ in rows] == ["aaaa", "dddd"] and rows[1][1] and "Exam dddd is left out: " in told
    rows, told = again(1)
    assert rows == [("bbbb", "")], "the table describes the last input, also if that is one exam"
    rows, told = again(0)
    assert rows == [("aaaa", "")] and "1 of 1 exams are finished and unchanged" in told
    links = re.findall(r'href="([^"]+)"', (out / "index.html").read_text())
    assert links == ["aaaa/index.html"] and (out / "bbbb/index.html").is_file()


def test_a_folder_belongs_to_one_command(files, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/archive.json").write_text(json.dumps({"command": "segment"}))
    with pytest.raises(InputError, match="contains an archive of `planewise segment`; name another folder"):
        work_through(Work(files, {}).work, tmp_path / "out", lambda line: None)
    assert not Path(tmp_path / "out/exams.csv").exists()
