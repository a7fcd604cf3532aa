"""Processor time and memory of `planewise plan` and `planewise segment` on phantom exams, in ratio to an earlier build, which
a clone with its history can unpack; the builds take turns, each run in its own process."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import psutil
from planewise.cores import own_cores
from planewise.workshop.phantoms import UNLABELLED, Recipe, write_exams
from timing import Bar, Options, Times, cost_of, ratio

#: The build to compare with, its date, and this repository.
BEFORE, ROOT = "c3308152", Path(__file__).resolve().parents[3]
#: Largest ratios of the processor time of one exam more, and of the peak memory of the command on one exam.
LIMITS = {"segment": 0.25, "plan": 0.33}
MEMORY = 0.7
#: Exams of an archive that several processes work on, the most processes, the largest ratio of their time to that of one
#: process shared by all without loss, and the largest peak memory of any process, GB.
ARCHIVE, MOST_JOBS, SHARED, EACH = 20, 4, 1.25, 0.8

DEVICES = ("cpu",)


def measure(options: Options) -> list[Bar]:
    """Measure one exam alone, the cost of a start, and the later exams of an archive, the cost of one exam more, without the
    scan of the folder, which the bar of the index measures. A start varies by as much as an exam takes, so the clock of an
    exam runs from the line that the command prints about the exam before."""
    count = 3 if options.quick else 4
    population = UNLABELLED.at_size("demo").with_values(phases=2 if options.quick else 25)
    bars = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for exams in (1, count):
            list(write_exams(Recipe("dsbcc", 0, population), folder / str(exams), exams))
        trees = {"now": ROOT, "before": unpacked(folder / "before")}
        given = {"one exam": folder / "1", "archive": folder / str(count)}
        if real := os.environ.get("PLANEWISE_REAL_DATA"):
            given["the real exam"] = Path(real, "cardiac_cine_exam")
        for command, limit in LIMITS.items():
            used = {
                (what, tree): _cost(path, command, exams, options.threads)
                for what, exams in given.items()
                for tree, path in trees.items()
                if path is not None
            }
            rows = [("one exam more, processor time", "s", "archive", 3, limit)]
            for what in (each for each in given if each != "archive"):
                rows += [
                    (f"{what}, processor time", "s", what, 0, 0.5),
                    (f"{what}, wall time", "s", what, 1, 0.5),
                    (f"{what}, peak memory", "MiB", what, 2, MEMORY),
                ]
            for name, unit, what, place, largest in rows:
                now, before = (used[what, tree][place] if (what, tree) in used else None for tree in ("now", "before"))
                bars.append(against_before(f"{command}, {name}", now, before, unit, None if options.quick else largest))
        list(write_exams(Recipe("dsbcc", 0, population), folder / "archive", 2 if options.quick else ARCHIVE))
        for command in LIMITS if own_cores() > 1 else ():
            bars += _in_processes(command, folder / "archive", options)
    return bars


def _in_processes(command: str, exams: Path, options: Options) -> list[Bar]:
    """Compare the time of an archive with several processes, each on a core of its own, with that of one process."""
    jobs, peak = min(own_cores(), MOST_JOBS), 0.0
    times = {"1": Times(), str(jobs): Times()}
    for _ in range(1 if options.quick else 3):
        for count, taken in times.items():
            _, seconds, peak, _ = _cost(ROOT, command, exams, options.threads, "--jobs", count)
            taken.seconds.append(seconds)
    shared, most = (None, None) if options.quick else (SHARED, EACH)
    value, median = (jobs * each for each in ratio(times, str(jobs), "1"))
    note = f"{times['1'].least:.0f} s with one, {times[str(jobs)].least:.0f} s with {jobs}"
    name = f"{command}, an archive with --jobs {jobs}"
    return [
        Bar(f"{name}: {jobs} x its time / the time of one process", value, median, limit=shared, note=note),
        Bar(f"{name}: peak memory of a process", peak * 2**20 / 1e9, limit=most, unit="GB"),
    ]


def against_before(name: str, now: float, before: float | None, unit: str, limit: float | None) -> Bar:
    """The ratio of what a build needs to what the earlier one needed, which may be unknown."""
    note = f"{now:.2f} {unit}; before: " + ("unknown" if before is None else f"{before:.2f} {unit}")
    return Bar(f"{name}: now / {BEFORE}", None if before is None else now / before, limit=limit, note=note)


def unpacked(folder: Path) -> Path | None:
    """The earlier build; None without the repository's history."""
    made = subprocess.run(["git", "-C", str(ROOT), "archive", BEFORE, "tools", "bundles"], capture_output=True)
    if made.returncode:
        return None
    with tarfile.open(fileobj=io.BytesIO(made.stdout)) as packed:
        packed.extractall(folder, filter="data")
    return folder


def _cost(tree: Path, command: str, exams: Path, threads: int, *more: str) -> tuple[float, float, float, float]:
    """Processor and wall time, s, and peak memory, MiB, of a command; and the mean processor time, s, of an archive's exams
    after the first one (0 if there is a single exam)."""
    with tempfile.TemporaryDirectory() as output:
        settings = {"PYTHONPATH": str(tree / "tools"), "OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
        words = [sys.executable, "-m", "planewise", command, str(exams), "-o", output, *more]
        began = time.perf_counter()
        process = subprocess.Popen(
            words, env=os.environ | settings, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        clock = psutil.Process(process.pid).cpu_times
        done = [sum(clock()[:2]) for line in process.stdout or () if re.match(r"\d+ of \d+: exam ", line)]
        used, peak = cost_of(process)
        seconds = time.perf_counter() - began
    each = (done[-1] - done[0]) / (len(done) - 1) if done else 0.0
    return used, seconds, peak, each
