"""Signs that images of a cine are missing, or show more or less than one heartbeat. Nothing is repaired."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from planewise.exams.frame import Frame
from planewise.exams.stack import Slice
from planewise.findings import Finding, finding
from planewise.phases import usual_count

#: A cine was cut off if its images cover less than the first share of the header's heartbeat. Prospective gating often
#: leaves out the last fifth: such images are complete if they cover the second share.
CUT_OFF, PROSPECTIVE = 2 / 3, 0.9
#: A cine shows several heartbeats if its images cover at least the first number of the header's heartbeats. If they cover
#: more than the second number, the header is wrong.
SEVERAL_BEATS, MOST_BEATS = 1.5, 20
#: A heartbeat with more phases than this has a wrong header: some headers count the images of all slices.
MOST_PHASES = 100
#: Images are missing between two phases if these are further apart than this many usual steps.
GAP = 1.5


def phase_findings(slices: Sequence[Slice]) -> list[Finding]:
    """Compare the phases of a stack's slices with each other, with the header's number of images and with its heartbeat.

    Returns:
        Flags, which concern all volumes and planes.
    """
    if any(frame.phase or frame.time is not None for frame in slices[0].phases):
        return []
    counts = [len(entry.phases) for entry in slices]
    usual, covered = usual_count(counts), float(np.median([_covered(entry.phases) for entry in slices]))
    found = []
    if min(counts) < max(counts) and not all(entry.phases[0].cycle == len(entry.phases) for entry in slices):
        found += unequal_counts(counts)
    elif any(_has_gap(entry.phases) for entry in slices):
        found.append(finding("phases-doubtful", kind="uneven"))
    promised = usual_count(entry.phases[0].cycle for entry in slices)
    # a person may have kept every second phase
    ends_early = 2 * usual > promised + 1 or 0 < covered < CUT_OFF or (not covered and _are_consecutive(slices))
    if usual < promised <= MOST_PHASES and covered < PROSPECTIVE and ends_early:
        found.append(finding("phases-doubtful", kind="promised", count=usual, promised=promised))
    elif 0 < covered < CUT_OFF and usual > 2:
        found.append(finding("phases-doubtful", kind="cut-off", percent=round(100 * covered)))
    elif SEVERAL_BEATS <= covered <= MOST_BEATS:
        found.append(finding("phases-doubtful", beats=round(covered, 1), kind="heartbeats"))
    return found


def unequal_counts(counts: Sequence[int]) -> list[Finding]:
    """A flag for slices with different numbers of phases; none if they have equally many."""
    low, high = min(counts), max(counts)
    return [finding("phases-doubtful", low=low, high=high, kind="unequal")] if low < high else []


def _step(phases: Sequence[Frame]) -> float | None:
    """The usual time between two phases, ms; None without rising trigger times."""
    times = [frame.trigger for frame in phases]
    rise = None not in times and all(after > before for before, after in pairwise(times))
    return float(np.percentile(np.diff(times), 50, method="lower")) if len(times) > 1 and rise else None


def _has_gap(phases: Sequence[Frame]) -> bool:
    step = _step(phases)
    return step is not None and len(phases) > 2 and np.diff([frame.trigger for frame in phases]).max() > GAP * step


def _covered(phases: Sequence[Frame]) -> float:
    """The number of the header's heartbeats that the images cover, such as 0.85; 0 if it is unknown."""
    step, beat = _step(phases), phases[0].heartbeat
    return (phases[-1].trigger - phases[0].trigger + step) / beat if step and beat else 0.0


def _are_consecutive(slices: Sequence[Slice]) -> bool:
    """Whether the images of every slice have consecutive numbers."""
    return all(after.instance - before.instance == 1 for entry in slices for before, after in pairwise(entry.phases))
