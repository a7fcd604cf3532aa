"""Find out which phases a slice of a cine lacks, because files are missing or broken."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from planewise.exams.frame import Frame
from planewise.exams.stack import Slice, usual_count

#: Trigger times fit the times of the other slices if they differ by at most this share of the time between two phases.
SAME_TIME = 0.3
#: Largest factor between the heart rates of two slices of a stack. Within an exam, the rate varies by some per cent; with a
#: larger factor, a slice may have been acquired with fewer phases.
SAME_RATE = 1.15


def mark_lost_phases(slices: Sequence[Slice]) -> list[Slice]:
    """Record, for each slice that lacks phases, how many phases the cycle has and which of them are missing.

    Trigger times decide: those of the slice are compared with those of the complete slices, up to the heart rate, which
    differs between breath-holds. Without trigger times, the images' numbers decide. If neither decides, ``missing`` stays
    empty. If the header says that a slice has all its phases, it lacks none.
    """
    usual = _cycle(slices)
    whole = [entry.phases for entry in slices if len(entry.phases) == usual]
    used: dict[str, set[int]] = defaultdict(set)
    for entry in slices:
        used[entry.series] |= {frame.instance for frame in entry.phases}
    return [
        replace(entry, cycle=usual, missing=_missing(entry.phases, whole, used[entry.series]))
        if len(entry.phases) < usual and not _is_complete(entry.phases)
        else entry
        for entry in slices
    ]


def may_lack_phases(slices: Sequence[Slice]) -> bool:
    """Whether a slice has fewer phases than another one, and nothing says why."""
    most = max(len(entry.phases) for entry in slices)
    return any(len(entry.phases) < most and not entry.lost and not _is_complete(entry.phases) for entry in slices)


def _cycle(slices: Sequence[Slice]) -> int:
    """The number of phases that most headers promise, if a slice has as many; otherwise the most common number."""
    counts = [len(entry.phases) for entry in slices]
    promised = usual_count(entry.phases[0].cycle or len(entry.phases) for entry in slices)
    return promised if promised in counts else usual_count(counts)


def _is_complete(phases: Sequence[Frame]) -> bool:
    """Whether the slice has all images that its header promises, or is a file of its own, from which no phase gets lost."""
    return phases[0].phase is not None or phases[0].time is not None or phases[0].cycle == len(phases)


def _missing(phases: Sequence[Frame], whole: Sequence[Sequence[Frame]], used: set[int]) -> tuple[int, ...]:
    """The ranks in the cycle that a slice lacks; empty if they are unknown."""
    count = len(whole[0])
    times, *others = [[frame.trigger for frame in one] for one in (phases, *whole)]
    if all(_rise(one) for one in (times, *others)):
        present = _by_time(np.array(times, float), np.median(np.array(others, float), axis=0))
    else:
        numbers = [frame.instance for frame in phases]
        present = _by_number(numbers, [[frame.instance for frame in one] for one in whole], used)
    return tuple(sorted(set(range(count)) - present)) if present else ()


def _rise(times: Sequence[float | None]) -> bool:
    return None not in times and all(after > before for before, after in pairwise(times))


def _by_time(times: np.ndarray, usual: np.ndarray) -> set[int]:
    """The ranks of a slice's phases among the usual times; empty if no rank or more than one rank fits a time."""
    few, many = len(times), len(usual)
    found = set()
    for first in range(many - few + 1) if few > 1 else ():
        for last in range(first + few - 1, many):
            rate = (times[-1] - times[0]) / (usual[last] - usual[first])
            if not 1 / SAME_RATE <= rate <= SAME_RATE:
                continue
            apart = np.abs(times[:, None] - rate * usual)
            ranks = apart.argmin(axis=1)
            if len(set(ranks)) == few and apart.min(axis=1).max() <= SAME_TIME * rate * np.diff(usual).min():
                found.add(frozenset(ranks.tolist()))
    return set(found.pop()) if len(found) == 1 else set()


def _by_number(numbers: Sequence[int], others: Sequence[Sequence[int]], used: set[int]) -> set[int]:
    """The ranks of a slice's phases by the images' numbers, which rise by the same step in every slice.

    A slice starts at the same number as the others, or, if one series holds several slices, it must not contain a number of
    another slice.
    """
    steps = {after - before for one in others for before, after in pairwise(one)}
    if len(steps) != 1 or (step := steps.pop()) < 1:
        return set()
    starts, found = {one[0] for one in others}, []
    for start in [starts.pop()] if len(starts) == 1 else range(numbers[0], numbers[0] - len(others[0]) * step, -step):
        places = [start + step * rank for rank in range(len(others[0]))]
        if set(numbers) <= set(places) and not (used - set(numbers)) & set(places):
            found.append({places.index(number) for number in numbers})
    return found[0] if len(found) == 1 else set()
