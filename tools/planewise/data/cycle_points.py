"""Select phases of a cine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from planewise.exams.stack import nearest_phase

#: Usual fraction of the cycle at which a named phase occurs.
NAMED_PHASES = {"ED": 0.0, "ES": 0.4}


def at_cycle_points(items: Sequence[Mapping[str, Any]], points: Iterable[float] | None) -> list[Mapping[str, Any]]:
    """Select from each slice the phases nearest to the given points of the cardiac cycle; keep the items' order.

    Args:
        items: items of a datalist; ``phase`` is a fraction of the cycle, 0 at end-diastole, or a name
            (`cycle_fraction`).
        points: fractions of the cycle, at least one; end-systole is at about 0.4. None takes all phases.

    Returns:
        For each slice, one item for each point; fewer if one phase is the nearest to several points.
    """
    if points is None:
        return list(items)
    slices: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for row, item in enumerate(items):
        slices[item.get("exam"), item.get("stack"), item.get("slice", row)].append(row)
    kept: set[int] = set()
    for point in points:
        for rows in slices.values():
            kept.add(rows[nearest_phase([cycle_fraction(items[row]) for row in rows], point)])
    return [items[row] for row in sorted(kept)]


def cycle_fraction(item: Mapping[str, Any]) -> float:
    """An item's time in the cardiac cycle, in [0, 1): its ``phase``, or the usual time of a named phase.

    An item without a phase, or with an unknown name of a phase, counts as end-diastole.
    """
    phase = item.get("phase", 0.0)
    return NAMED_PHASES.get(phase, 0.0) if isinstance(phase, str) else phase
