"""Find out which phases a slice of a cine lacks, because files are missing or broken."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from planewise.exams.frame import Frame
from planewise.exams.stack import Slice, usual_count
from planewise.exams.words import count_of, phase_name, some_of

#: Trigger times fit the times of the other slices if they differ by at most this share of the time between two phases.
SAME_TIME = 0.3
#: Largest factor between the heart rates of two slices of a stack. Within an exam, the rate varies by some per cent; with a
#: larger factor, a slice may have been acquired with fewer phases.
SAME_RATE = 1.15
#: A cine may lack its first phase if its first image comes after the R wave by at least this share of the time between two
#: phases.
LATE_START = 0.9
#: Images are consecutive phases if the time between two of them, times the header's number of phases, is shorter than this
#: many heartbeats; otherwise, phases between them were left out. Some cines cover only three quarters of a heartbeat.
SKIPS = 1.5
#: Heartbeat, ms, if the header has none. With `SKIPS`, the limit is 1050 ms: at heart rates above 57 per minute, consecutive
#: phases stay below it, and at heart rates below 114 per minute, every second phase exceeds it.
USUAL_HEARTBEAT = 700.0
#: A cine was cut off if its images cover less than the first share of the header's heartbeat. Prospective gating often
#: leaves out the last fifth, so a note follows if they cover less than the second share.
CUT_OFF, PROSPECTIVE = 2 / 3, 0.9
#: A cine shows several heartbeats if its images cover at least the first number of the header's heartbeats. If they cover
#: more than the second number, the header is wrong.
SEVERAL_BEATS, MOST_BEATS = 1.5, 20
#: A heartbeat with more phases than this has a wrong header.
MOST_PHASES = 100
#: Slices begin at different moments if these differ by more than this share of the heartbeat, and of the cycle.
OTHER_START = 0.1
#: The end of a sentence about phases that no slice has.
GONE = "files are missing or broken, so that end-diastole or end-systole may be missing"
#: The same if only the header's heartbeat shows this.
NOT_COVERED = f"according to trigger times and heartbeat (NominalInterval), some phases were not acquired, or {GONE}"


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


def mark_absent_phases(slices: Sequence[Slice]) -> tuple[list[Slice], list[str], list[str]]:
    """Find the phases that no slice has, because the same files are missing or broken in every series.

    The header's number of images and the trigger times or the images' numbers say which. An exam of which somebody kept
    some phases, at equal intervals or less than half of them, lacks none, unless the heartbeat shows that the kept phases
    are consecutive, so that the others were cut off. If the images cover only a part of the heartbeat or begin at different
    moments, the heartbeat gives the number of phases, and each slice has its own place in the cycle.

    Returns:
        The slices, with the true cycle if it is certain; sentences, without a full stop, about absent phases, slices that
        begin at different moments, and images of several heartbeats; and a note if the images cover only most of one.
    """
    if any(frame.phase or frame.time is not None for frame in slices[0].phases):
        return list(slices), [], []
    marked, absent = _mark_absent(slices)
    absent += _other_starts(marked)
    covered = np.median([_covered(entry.phases) for entry in slices])
    if SEVERAL_BEATS <= covered <= MOST_BEATS:
        absent.append(
            f"the images cover {covered:.1f} heartbeats (trigger times and NominalInterval), but are named as the phases of "
            "one"
        )
    if absent or any(entry.lost for entry in marked) or not CUT_OFF <= covered < PROSPECTIVE:
        return marked, absent, []
    return (
        marked,
        [],
        [
            f"the images cover {100 * covered:.0f} % of the heartbeat (trigger times and NominalInterval), but are named as "
            "the phases of a whole one"
        ],
    )


def _mark_absent(slices: Sequence[Slice]) -> tuple[list[Slice], list[str]]:
    """`mark_absent_phases` without its checks for slices that begin at different moments and for several heartbeats."""
    complete = [entry for entry in slices if not entry.lost]
    usual = usual_count(len(entry.phases) for entry in complete)
    whole = [entry.phases for entry in complete if len(entry.phases) == usual]
    promised = usual_count(phases[0].cycle for phases in whole)
    if usual < 3:
        return list(slices), []
    ends_early = promised > usual and (
        2 * usual > promised + 1 or all(_are_neighbours(phases, promised) for phases in whole)
    )
    gone, named, by_beat = GONE, "header", _phases_of_a_beat(whole)
    cut_off = all(0 < _covered(phases) < CUT_OFF for phases in whole)
    if not ends_early and by_beat > usual and (cut_off or _other_starts(slices)):
        promised, ends_early, gone, named = by_beat, True, NOT_COVERED, "heartbeat"
    if promised == usual:
        return list(slices), []
    steps = [step for phases in whole if (step := _step(phases)) is not None]
    by_time = [_ranks_by_time(phases, promised if ends_early else 0) for phases in whole]
    by_number = [_ranks_by_number(phases, promised) for phases in whole] if ends_early else []
    alike = [found for found in (by_time, by_number) if len(set(found)) == 1 and () not in found]
    each = ends_early and () not in by_time and len(whole) == len(slices)  # each slice may have places of its own
    places = by_time if each else next(iter(alike), [])
    if ends_early and set(places) == {tuple(range(usual))} and all(map(_lasts_a_heartbeat, whole)):
        return list(slices), []  # the images cover the heartbeat, so the header counts otherwise
    if ends_early and not places:
        return list(slices), [f"every slice has {usual} of the {promised} phases of its {named}: {gone}"]
    cycle = promised if ends_early else 1 + max(map(max, places), default=0)
    if places and set(range(cycle)) - set.intersection(*map(set, places)):
        of_all = places if len(places) == len(slices) else [places[0]] * len(slices)
        marked = [_in_cycle(entry, usual, cycle, ranks) for entry, ranks in zip(slices, of_all, strict=True)]
        absent = sorted(set(range(cycle)) - set().union(*places))
        names = some_of([phase_name(rank / cycle) for rank in absent])
        return marked, [f"no slice has {names} (of {cycle} phases): {gone}"] if absent else []
    firsts = [phases[0].trigger for phases in whole]
    if len(steps) == len(whole) and all(first >= LATE_START * step for first, step in zip(firsts, steps, strict=True)):
        late, apart = np.median(firsts), np.median(steps)
        return list(slices), [
            f"the first images are {late:.0f} ms after the R wave, and the phases {apart:.0f} ms apart: is the first phase "
            "missing?"
        ]
    return list(slices), []


def _phases_of_a_beat(whole: Sequence[Sequence[Frame]]) -> int:
    """The number of phases of the header's heartbeat, from the time between two phases; 0 if it is unknown."""
    steps = [_step(phases) for phases in whole]
    if None in steps:
        return 0
    count = round(np.median([phases[0].heartbeat / step for phases, step in zip(whole, steps, strict=True)]))
    return count if count <= MOST_PHASES else 0


def _covered(phases: Sequence[Frame]) -> float:
    """The number of the header's heartbeats that the images cover, such as 0.85; 0 if it is unknown."""
    step, beat = _step(phases), phases[0].heartbeat
    return (phases[-1].trigger - phases[0].trigger + step) / beat if step and beat else 0.0


def _other_starts(slices: Sequence[Slice]) -> list[str]:
    """A sentence about slices that begin at another moment of the cycle than most: phases of different moments get one name.
    The moments must differ both in ms and as shares of the heartbeat, because only one of these may be the same in all
    breath-holds."""
    starts = []
    for entry in slices:
        step = _step(entry.phases)
        if step and not (entry.lost and not entry.missing):
            beat = entry.phases[0].heartbeat or step * (len(entry.phases) + entry.lost)
            start = entry.phases[0].trigger - entry.phase(0) * beat
            starts.append((start / beat, start, beat))
    share, usual, _ = sorted(starts)[(len(starts) - 1) // 2] if starts else (0, 0, 0)
    others = [
        start
        for one, start, beat in starts
        if abs(one - share) > OTHER_START and abs(start - usual) > OTHER_START * beat
    ]
    if not others:
        return []
    which = (
        f"{min(others):.0f}" if round(min(others)) == round(max(others)) else f"{min(others):.0f} to {max(others):.0f}"
    )
    return [
        f"{len(others)} of {count_of(len(slices), 'slice')} {'begins' if len(others) == 1 else 'begin'} {which} ms after the "
        f"R wave, not {usual:.0f} ms like the others (trigger times), so one phase shows different moments of the heartbeat"
    ]


def may_lack_phases(slices: Sequence[Slice]) -> bool:
    """Whether a slice has fewer phases than another one, and nothing says why."""
    most = max(len(entry.phases) for entry in slices)
    return any(len(entry.phases) < most and not entry.lost and not _is_complete(entry.phases) for entry in slices)


def _in_cycle(entry: Slice, usual: int, cycle: int, ranks: Sequence[int]) -> Slice:
    """A slice whose phases were counted in a cycle of ``usual`` phases, in the true cycle with these phases at ``ranks``."""
    if entry.lost and not entry.missing:
        return replace(entry, cycle=cycle)  # it is unknown which phases it lacks
    if len(entry.phases) + entry.lost != usual:
        return entry
    present = {ranks[rank] for rank in entry.ranks}
    return replace(entry, cycle=cycle, missing=tuple(sorted(set(range(cycle)) - present)))


def _step(phases: Sequence[Frame]) -> float | None:
    """The usual time between two phases, ms; None without rising trigger times."""
    times = [frame.trigger for frame in phases]
    return float(np.percentile(np.diff(times), 50, method="lower")) if len(times) > 1 and _rise(times) else None


def _ranks_by_time(phases: Sequence[Frame], cycle: int) -> tuple[int, ...]:
    """The ranks of a slice's phases in the cycle, from their trigger times; empty if these do not decide.

    Args:
        phases: in order of time.
        cycle: number of phases of the cycle; 0 if it is unknown, so that the first phase counts as the cycle's first.
    """
    step = _step(phases)
    if step is None:
        return ()
    between = np.diff([frame.trigger for frame in phases]) / step
    if (np.abs(between - between.round()) > SAME_TIME).any():
        return ()
    ranks = np.concatenate([[0], np.cumsum(between.round().astype(int))])
    free = cycle - 1 - ranks[-1]
    start = phases[0].trigger / step
    if cycle and (free < 0 or (free > 0 and (abs(start - round(start)) > SAME_TIME or round(start) > free))):
        return ()
    return tuple(int(rank) for rank in ranks + (round(start) if free > 0 else 0))


def _ranks_by_number(phases: Sequence[Frame], cycle: int) -> tuple[int, ...]:
    """The ranks of a slice's phases in the cycle, if its images have the numbers of one cycle, counted from 1."""
    numbers = [frame.instance - 1 for frame in phases]
    rises = all(after > before for before, after in pairwise(numbers))
    return tuple(number % cycle for number in numbers) if rises and numbers[0] // cycle == numbers[-1] // cycle else ()


def _lasts_a_heartbeat(phases: Sequence[Frame]) -> bool:
    """Whether the images, at equal intervals, cover the heartbeat that the header states."""
    step, times = _step(phases), [frame.trigger for frame in phases]
    return step is not None and abs(times[-1] - times[0] + step - phases[0].heartbeat) < step / 2


def _are_neighbours(phases: Sequence[Frame], cycle: int) -> bool:
    """Whether the images are consecutive phases of a cycle that lasts about one heartbeat of the header, see `SKIPS`; without
    trigger times, whether they have consecutive numbers."""
    step = _step(phases)
    if step is None:
        in_turn = all(after.instance - before.instance == 1 for before, after in pairwise(phases))
        return in_turn and cycle <= MOST_PHASES  # some headers count the images of all slices
    return cycle * step < SKIPS * (phases[0].heartbeat or USUAL_HEARTBEAT)


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
