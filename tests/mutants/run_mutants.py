"""Plant each mistake of ``mutants.yaml`` in a copy of the project, and check that the tests named there catch it.

`tools/mutants` runs it. (`cosmic-ray` and `mutmut` derive mutants from operators; neither takes a list written by hand.)
"""

from __future__ import annotations

import argparse
import gc
import importlib
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Literal

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("mutants.yaml")

#: The share of entries that must be caught.
ENOUGH = 0.9
#: Seconds after which tests that are still running count as having caught the mistake.
_LONGEST = 600

Result = Literal["caught", "SURVIVED", "old text not found", "tests not found", "tests fail without it"]


@dataclass(frozen=True)
class Mutant:
    """A one-line mistake that an engineer might plausibly make.

    Args:
        file: file to change, from the project's root.
        old: text that occurs there exactly once.
        new: its replacement.
        tests: tests that must catch it: files, or ``file::test``.
        wrong: description of the mistake.
    """

    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    wrong: str

    def problem(self, tree: Path) -> Result | None:
        """Why the entry no longer fits the project; None if it does."""
        path = tree / self.file
        if not path.is_file() or path.read_text().count(self.old) != 1:
            return "old text not found"
        return None if all(_exists(tree, test) for test in self.tests) else "tests not found"


def _exists(tree: Path, test: str) -> bool:
    name, _, function = test.partition("::")
    path = tree / name
    if not function:
        return path.is_dir() or path.is_file()
    return path.is_file() and f"def {function.partition('[')[0]}(" in path.read_text()


def read_mutants(path: Path) -> list[Mutant]:
    """The entries of a list."""
    return [Mutant(**{**entry, "tests": tuple(entry["tests"])}) for entry in yaml.safe_load(path.read_text())]


def copy_tree(source: Path, target: Path) -> Path:
    """Copy the files that git tracks or would track; if the source is itself a copy, copy all files. Compiled files are
    left out: Python compares only the size of a source file and its time in whole seconds, so it would miss a mistake
    of the same length within the same second and run the old code.
    """
    if (source / ".git").exists():
        listed = ["git", "-C", str(source), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\0")
    else:
        names = [path.relative_to(source).as_posix() for path in source.rglob("*")]
    for name in names:
        # a link to a folder, such as the link to the bundles, is copied as a link
        if name and ((source / name).is_file() or (source / name).is_symlink()):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name, follow_symlinks=False)
    return target


def run_mutants(mutants: Sequence[Mutant], tree: Path, jobs: int = 1) -> Iterator[tuple[Mutant, Result, float]]:
    """Try each mistake in a copy of a tree; the tree itself is only read.

    Args:
        mutants: to try.
        tree: the project, a git repository.
        jobs: copies in which mistakes are tried at the same time.

    Yields:
        Mutant, result and seconds, in the order of completion. The tests run first without a mistake; a test that fails then
        cannot catch anything.
    """
    with tempfile.TemporaryDirectory() as folder:
        # test a copy, so that later changes in the project have no effect
        kept = copy_tree(tree, Path(folder) / "kept")
        copies = [copy_tree(kept, Path(folder) / str(number)) for number in range(max(1, jobs))]
        fitting = []
        for mutant in mutants:
            if (problem := mutant.problem(kept)) is not None:
                yield mutant, problem, 0.0
            else:
                fitting.append(mutant)
        tests = list(dict.fromkeys(test for mutant in fitting for test in mutant.tests))
        failing = _failing(tests, copies)
        for mutant in fitting:
            if failing & set(mutant.tests):
                yield mutant, "tests fail without it", 0.0

        def restore(copy: Path, mutant: Mutant) -> None:
            shutil.copy2(kept / mutant.file, copy / mutant.file)

        ready = [mutant for mutant in fitting if not failing & set(mutant.tests)]
        for mutant, failed, seconds in _in_turn(ready, copies, _plant, restore):
            yield mutant, "caught" if failed else "SURVIVED", seconds


def _failing(tests: Sequence[str], copies: Sequence[Path]) -> set[str]:
    """The tests that fail without a mistake: all run together, and one by one only if that fails."""
    all_pass = not any(failed for _, failed, _ in _in_turn([tests] if tests else [], copies, _start))
    return (
        set() if all_pass else {test for (test,), failed, _ in _in_turn([[t] for t in tests], copies, _start) if failed}
    )


def _in_turn(
    tasks: Sequence,
    copies: Sequence[Path],
    start: Callable[[Path, object], multiprocessing.Process],
    end: Callable[[Path, object], None] = lambda copy, task: None,
) -> Iterator[tuple[object, bool, float]]:
    """Run tasks in as many processes as there are copies of the project; yields each task, whether it failed, and its
    seconds.
    """
    waiting, free = list(reversed(tasks)), list(copies)
    running: dict[int, tuple[multiprocessing.Process, Path, object, float]] = {}
    while waiting or running:
        while waiting and free:
            copy, task = free.pop(), waiting.pop()
            process = start(copy, task)
            running[process.sentinel] = (process, copy, task, time.monotonic())
        wait(list(running), timeout=1.0)
        for sentinel, (process, copy, task, since) in list(running.items()):
            late = time.monotonic() - since > _LONGEST
            if process.is_alive() and not late:
                continue
            if late:
                process.kill()
            process.join()
            del running[sentinel]
            end(copy, task)
            free.append(copy)
            yield task, process.exitcode != 0, time.monotonic() - since


def _plant(copy: Path, mutant: Mutant) -> multiprocessing.Process:
    path = copy / mutant.file
    path.write_text(path.read_text().replace(mutant.old, mutant.new))
    return _start(copy, mutant.tests)


def _start(copy: Path, tests: Sequence[str]) -> multiprocessing.Process:
    # forked, because importing the libraries again for every mistake would take seconds
    process = multiprocessing.get_context("fork").Process(target=_test, args=(copy, tests))
    process.start()
    return process


def _test(copy: Path, tests: Sequence[str]) -> None:
    """Run tests of a copy of the project in this process, which exits with pytest's code: 0 means that all pass."""
    log = os.open(copy.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(copy)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "planewise")]:
        del sys.modules[name]
    sys.path[:0] = [str(copy), str(copy / "tools")]
    sys.dont_write_bytecode = True
    os.environ |= {"PYTHONPATH": str(copy / "tools"), "PYTHONDONTWRITEBYTECODE": "1"}
    code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not label and not gpu", *tests])
    os._exit(int(code))


def table(results: Sequence[tuple[Mutant, Result, float]]) -> str:
    """A line for each result, and a summary."""
    lines = [
        f"{result:22} {seconds:5.0f} s  {mutant.file.removeprefix('tools/planewise/')}: {mutant.wrong}"
        for mutant, result, seconds in results
    ]
    counts = Counter(result for _, result, _ in results)
    return "\n".join([*lines, f"{counts['caught']} of {len(results)} caught"])


def are_enough(results: Sequence[Result]) -> bool:
    """Whether at least nine of ten are caught and every entry fits the project."""
    counts = Counter(results)
    return counts["caught"] >= ENOUGH * len(results) and counts["caught"] + counts["SURVIVED"] == len(results)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; it exits with 1 if too few are caught or an entry no longer fits."""
    parser = argparse.ArgumentParser(prog="tools/mutants", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--only", metavar="PATTERN", default="", help="only mistakes whose file or description matches this"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="number of mistakes to try at once")
    parser.add_argument("--list", action="store_true", help="print the entries and run nothing")
    options = parser.parse_args(arguments)
    mutants = [one for one in read_mutants(LIST) if re.search(options.only, f"{one.file}: {one.wrong}")]
    if options.list:
        print("\n".join(f"{one.file}: {one.wrong} ({', '.join(one.tests)})" for one in mutants))
        return 0
    if not mutants:
        parser.error(f"no entry matches {options.only!r}")
    _import_what_tests_need()
    # the copies would not find the real data next to them, and their tests would be skipped
    os.environ.setdefault("PLANEWISE_REAL_DATA", str(ROOT.parent / "shared" / "data"))
    print(f"{len(mutants)} mistakes; the tests first run on the unchanged code", flush=True)
    results = []
    for mutant, result, seconds in run_mutants(mutants, ROOT, options.jobs):
        results.append((mutant, result, seconds))
        print(table(results[-1:]).partition("\n")[0], flush=True)
    print(table(results).rpartition("\n")[2])
    return 0 if are_enough([result for _, result, _ in results]) else 1


def _import_what_tests_need() -> None:
    for name in (
        "hypothesis",
        "monai.bundle",
        "monai.engines",
        "nibabel",
        "pydicom",
        "sklearn.ensemble",
        "torch._dynamo",
    ):
        importlib.import_module(name)
    # pytest collects garbage five times at its end, in each forked process
    gc.freeze()


if __name__ == "__main__":
    sys.exit(main())
