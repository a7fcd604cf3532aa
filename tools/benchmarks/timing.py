"""Ratios that hold on a busy machine: what is compared runs in turns, in one process, and the fastest turn counts."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

#: Seconds after which a comparison begins no further repetition; a GPU that is lent is there for minutes.
LONGEST = {"cuda": 10.0}
#: Repetitions that are measured however long they take.
LEAST_REPETITIONS = 2


@dataclass
class Options:
    """How thoroughly to measure, and on what."""

    device: str = "cpu"
    threads: int = 1
    repetitions: int = 15
    quick: bool = False
    """Smaller sizes, so that every bar is tried in a minute; its numbers mean nothing."""

    @property
    def longest(self) -> float:
        """Seconds after which a comparison on this device begins no further repetition."""
        return LONGEST.get(torch.device(self.device).type, math.inf)


@dataclass
class Times:
    """Seconds of one candidate, one entry a repetition."""

    seconds: list[float] = field(default_factory=list)

    @property
    def least(self) -> float:
        return min(self.seconds)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


@dataclass
class Bar:
    """One line of the table.

    Attributes:
        group: subject, the module's name.
        name: what is compared with what, in words.
        value: measured; by the fastest repetitions where it is a ratio of times.
        median: the same by the medians; None where there are no repetitions.
        limit: what it may be at most (or at least, where ``at_least``); None for a number that is only told.
        unit: of value; ratios have none.
        note: sizes, absolute times, why it is not measured here.
    """

    group: str
    name: str
    value: float | None
    median: float | None = None
    limit: float | None = None
    at_least: bool = False
    unit: str = ""
    note: str = ""

    @property
    def passed(self) -> bool | None:
        """None where nothing is promised or nothing could be measured."""
        if self.limit is None or self.value is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "passed": self.passed}


def interleaved(
    candidates: Mapping[str, Callable[[], Any]], options: Options, warmup: int = 2, inner: int = 1
) -> dict[str, Times]:
    """Time every candidate in turns.

    Args:
        candidates: name to a call without arguments; it does its work anew each time.
        options: repetitions and device; on CUDA a turn ends when the device is done, and repetitions after `LONGEST`.
        warmup: calls of each before the clock runs.
        inner: calls in a turn, for work too short for the clock; times are of one call.
    """
    wait = torch.cuda.synchronize if torch.device(options.device).type == "cuda" else _nothing
    for call in candidates.values():
        for _ in range(warmup):
            call()
    times = {name: Times() for name in candidates}
    gc.collect()
    gc.disable()
    try:
        for _ in repetitions(options.repetitions, options.longest):
            for name, call in candidates.items():
                wait()
                started = time.perf_counter()
                for _ in range(inner):
                    call()
                wait()
                times[name].seconds.append((time.perf_counter() - started) / inner)
    finally:
        gc.enable()
    return times


def repetitions(count: int, longest: float) -> Iterator[int]:
    """Count repetitions until they have taken so many seconds; `LEAST_REPETITIONS` in any case."""
    begun = time.perf_counter()
    for number in range(count):
        if number >= LEAST_REPETITIONS and time.perf_counter() - begun > longest:
            return
        yield number


def ratio(times: Mapping[str, Times], ours: str, theirs: str) -> tuple[float, float]:
    """How long ours takes of theirs, by the fastest repetitions and by the medians."""
    return times[ours].least / times[theirs].least, times[ours].median / times[theirs].median


def _nothing() -> None:
    pass
