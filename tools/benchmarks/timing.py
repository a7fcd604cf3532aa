"""Measure ratios of times reliably on a busy machine: candidates take turns in one process, and the fastest turn counts."""

from __future__ import annotations

import gc
import math
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch

#: Seconds after which a comparison starts no further repetition, by kind of device; a borrowed GPU is available only
#: for minutes.
LONGEST = {"cuda": 10.0}
#: Minimum number of repetitions, however long they take.
LEAST_REPETITIONS = 2


@dataclass
class Options:
    """How thoroughly to measure, and on which device."""

    device: str = "cpu"
    threads: int = 1
    repetitions: int = 15
    quick: bool = False
    """Smaller sizes, so that all bars run in a minute; the numbers are meaningless."""
    cases: Sequence[str] = ()
    """Words: a module with several cases measures only those whose name contains one of them; empty for all."""

    def wants(self, case: str) -> bool:
        """Whether to measure a case of this name."""
        return not self.cases or any(word in case for word in self.cases)

    def fewer(self, times: int, least: int = 2) -> Options:
        """The same options with a fraction of the repetitions, ``1 / times``, but not fewer than ``least``."""
        return replace(self, repetitions=max(least, self.repetitions // times))


@dataclass
class Times:
    """Times of one candidate in seconds, one entry per repetition."""

    seconds: list[float] = field(default_factory=list)

    @property
    def least(self) -> float:
        return min(self.seconds)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


@dataclass
class Bar:
    """One line of the table."""

    name: str  # what is compared, in words
    value: float | None  # a ratio of times uses the fastest repetitions; None if it could not be measured
    median: float | None = None  # the value from the median repetitions
    limit: float | None = None  # largest allowed value
    unit: str = ""  # ratios have none
    note: str = ""  # sizes, absolute times, or the reason why the value was not measured

    @property
    def passed(self) -> bool | None:
        """Whether the value is within its limit; None if there is no limit or no value."""
        if self.limit is None or self.value is None:
            return None
        return self.value <= self.limit

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "passed": self.passed}


def interleaved(candidates: Mapping[str, Callable[[], Any]], options: Options, warmup: int = 2) -> dict[str, Times]:
    """Time the candidates, which take turns.

    Args:
        candidates: maps names to functions without arguments, which repeat their work on each call.
        options: repetitions and device. On CUDA, a turn ends when the device is done, and no further repetition starts
            after `LONGEST` seconds.
        warmup: number of calls of each candidate before the clock runs.
    """
    wait = torch.cuda.synchronize if torch.device(options.device).type == "cuda" else lambda: None
    for call in candidates.values():
        for _ in range(warmup):
            call()
    times = {name: Times() for name in candidates}
    gc.collect()
    gc.disable()
    try:
        for _ in repetitions(options):
            for name, call in candidates.items():
                wait()
                started = time.perf_counter()
                call()
                wait()
                times[name].seconds.append(time.perf_counter() - started)
    finally:
        gc.enable()
    return times


def repetitions(options: Options) -> Iterator[int]:
    """Yield 0, 1, ... for each repetition. After `LEAST_REPETITIONS`, stop once `LONGEST` seconds have passed."""
    begun, longest = time.perf_counter(), LONGEST.get(torch.device(options.device).type, math.inf)
    for number in range(options.repetitions):
        if number >= LEAST_REPETITIONS and time.perf_counter() - begun > longest:
            return
        yield number


def cost_of(process: subprocess.Popen) -> tuple[float, float]:
    """Wait for a process. Returns its processor time, s, with that of processes for which it waited, and the peak memory of
    the largest of them, MiB.

    Raises:
        RuntimeError: it ended with an error.
    """
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{process.args} ended with status {process.returncode}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def ratio(times: Mapping[str, Times], ours: str, theirs: str) -> tuple[float, float]:
    """The ratio of the times of ``ours`` and ``theirs``, from the fastest repetitions and from the medians."""
    return times[ours].least / times[theirs].least, times[ours].median / times[theirs].median
