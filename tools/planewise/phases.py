"""Phases of a heartbeat: their names, and the nearest of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from planewise.findings import Finding, finding


def phase_name(share: float) -> str:
    """The name of a phase, from its share of the cardiac cycle: ``"phase40"`` for 0.4."""
    return f"phase{round(100 * share):02d}"


def named_phases(count: int) -> range:
    """The ranks of the phases of a cycle that are used: all, or every second, third, ... if a cycle has more than 100 phases,
    of which several would have the same `phase_name`."""
    # if there are more than 200 phases, the last one could be named phase100
    return range(0, count - count // 200, max(1, -(-count // 100)))


def phases_not_used(count: int) -> list[Finding]:
    """A note if `named_phases` leaves out phases."""
    used = len(named_phases(count))
    return [finding("phases-not-used", count=used, of=count)] if used < count else []


def usual_count(counts: Iterable[int]) -> int:
    """The most common number of phases of a slice; the largest if several numbers are equally common."""
    found = Counter(counts)
    return max(found, key=lambda count: (found[count], count))


def nearest_phase(phases: Sequence[float], point: float) -> int:
    """The number of the phase nearest to a point of the cycle, which is periodic: 0.9 is as near to 0 as 0.1. Of two equally
    near phases, it is the one before the point.

    Args:
        phases: fractions of the cycle.
        point: fraction of the cycle.
    """

    def apart(number: int) -> tuple[float, bool]:
        after = (phases[number] - point) % 1
        # fractions are rounded to six decimals, so equal distances may differ in the last ones
        return round(min(after, 1 - after), 4), after < 0.5

    return min(range(len(phases)), key=apart)
