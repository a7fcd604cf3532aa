"""Processor time and memory of `planewise plan` and `planewise segment` on phantom exams, in ratio to an earlier build, which
a clone with its history can unpack; the builds take turns, each run in its own process."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from planewise.workshop.phantoms import UNLABELLED, Recipe, write_exams
from timing import Bar, Options

#: The build to compare with, its date, and this repository.
BEFORE, ROOT = "c3308152", Path(__file__).resolve().parents[3]
#: Largest ratios of the processor time of one exam more, and of the peak memory of the command on one exam.
LIMITS = {"segment": 0.25, "plan": 0.33}
MEMORY = 0.7

DEVICES = ("cpu",)


def measure(options: Options) -> list[Bar]:
    """Compare one exam with several for both builds: the difference is the cost of an exam, and the rest that of a start."""
    count = 2 if options.quick else 4
    population = UNLABELLED.at_size("demo").with_values(phases=2 if options.quick else 25)
    bars = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for exams in (1, count):
            list(write_exams(Recipe("dsbcc", 0, population), folder / str(exams), exams))
        trees = {"now": ROOT, "before": _unpacked(folder / "before")}
        for command, limit in LIMITS.items():
            used = {
                (tree, exams): _cost(path, command, folder / str(exams), options.threads)
                for exams in (1, count)
                for tree, path in trees.items()
                if path is not None
            }
            seconds = {tree: (used[tree, count][0] - used[tree, 1][0]) / (count - 1) for tree, _ in used}
            for what, place, values, largest in (
                ("one exam more, processor time", "s", seconds, limit),
                ("one exam, processor time", "s", {tree: used[tree, 1][0] for tree in seconds}, 0.5),
                ("one exam, peak memory", "MiB", {tree: used[tree, 1][1] for tree in seconds}, MEMORY),
            ):
                now, before = values["now"], values.get("before")
                note = f"{now:.2f} {place}; before: " + ("unknown" if before is None else f"{before:.2f} {place}")
                ratio = None if before is None else now / before
                most = None if options.quick else largest
                bars.append(Bar(f"{command}, {what}: now / {BEFORE}", ratio, limit=most, note=note))
    return bars


def _unpacked(folder: Path) -> Path | None:
    """The earlier build; None without the repository's history."""
    made = subprocess.run(["git", "-C", str(ROOT), "archive", BEFORE, "tools", "bundles"], capture_output=True)
    if made.returncode:
        return None
    with tarfile.open(fileobj=io.BytesIO(made.stdout)) as packed:
        packed.extractall(folder, filter="data")
    return folder


def _cost(tree: Path, command: str, exams: Path, threads: int) -> tuple[float, float]:
    """Processor time, s, and peak memory, MiB, of a command."""
    with tempfile.TemporaryDirectory() as output:
        settings = {"PYTHONPATH": str(tree / "tools"), "OMP_NUM_THREADS": str(threads)}
        words = [sys.executable, "-m", "planewise", command, str(exams), "-o", output]
        process = subprocess.Popen(
            words, env=os.environ | settings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"planewise {command} of {tree} ended with {status}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
