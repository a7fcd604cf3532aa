"""Recognise the short axis and the planes of the 2-, 3- and 4-chamber views: geometry first, names as hints. The rule, the
source of its numbers and its limits are in tools/docs/recognition.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from planewise.exams.cardiac_views import VIEWS, Candidate, assign, is_straight
from planewise.exams.exam import FoundView, Recognition
from planewise.exams.series_names import CHEST, HEART_WORDS, named_organ, named_view
from planewise.exams.stack import LIKE_ANGLE, Stack
from planewise.findings import FLAG, Finding, finding
from planewise.geometry import MIN_BASE_APEX_COSINE, base_to_apex
from planewise.geometry.planes import USUAL_LONG_AXIS

#: Two planes of one view count as a repeat if they are this close (degrees, mm) and the less likely plane has at least
#: this share of the other's probability. Otherwise the more likely plane is the view.
_REPEAT_ANGLE, _REPEAT_DISTANCE, _REPEAT_SHARE = 10.0, 12.0, 0.75
#: Planes tilted further than this against the long axis are not long-axis views.
_MAX_TILT = 45.0
#: Views less certain than this are reported and left out.
MIN_CONFIDENCE = 0.6
#: Minimum confidence for calling a stack the short axis.
MIN_STACK_CONFIDENCE = 0.4
#: Minimum number of slices of a short-axis stack.
MIN_SLICES = 3
#: A gated cine is used instead of a series that is not one if it has at least this share of that series' slices.
_CINE_SLICES = 0.5


def recognise(stacks: list[Stack]) -> Recognition:
    """The short-axis stack among the stacks of one exam, its axis from base to apex, and one plane for each view whose
    confidence exceeds `MIN_CONFIDENCE`."""
    large = [index for index, stack in enumerate(stacks) if len(stack.slices) >= MIN_SLICES]
    named = [index for index in large if stacks[index].view == "sax"]
    scored = sorted(
        ((*_score_stack(stacks, index), index) for index in named or large),
        key=lambda entry: (-entry[0], -stacks[entry[2]].phase_counts[1], -len(stacks[entry[2]].slices)),
    )
    if not scored:
        most = max((len(stack.slices) for stack in stacks), default=0)
        result = Recognition(findings=[finding("no-stack", least=MIN_SLICES, most=most)])
        _believe_names(result, stacks)
        return result
    odds, planes, best = _cine_of(stacks, scored)
    confidence = _probability(odds)
    if not named and confidence < MIN_STACK_CONFIDENCE:
        result = Recognition(candidate=best, confidence=confidence, findings=_why_no_short_axis(stacks[best]))
        _believe_names(result, stacks)
        return result
    result = Recognition(stack=best, candidate=best, confidence=1.0 if named else confidence)
    result.axis = long_axis(stacks[best])
    _choose_views(result, planes)
    _believe_names(result, stacks)
    if "IR" in stacks[best].sequence.split("/"):
        result.findings.append(finding("view-doubtful", kind="inversion-recovery"))
    if confidence < MIN_STACK_CONFIDENCE:
        result.findings.append(finding("view-doubtful", kind="stack"))
    return result


def _probability(odds: float) -> float:
    return float(1 / (1 + np.exp(-odds)))


def _cine_of(
    stacks: list[Stack], scored: list[tuple[float, list[Candidate], int]]
) -> tuple[float, list[Candidate], int]:
    """The first entry or, if its stack is not a gated cine (perfusion, real time, a map, derived images), the first one of a
    gated cine in its direction, if there is one."""
    best = stacks[scored[0][2]]
    for entry in scored if not best.is_cine else ():
        stack = stacks[entry[2]]
        like = stack.angle_to(best) < LIKE_ANGLE and len(stack.slices) >= _CINE_SLICES * len(best.slices)
        if like and stack.is_cine and _probability(entry[0]) >= MIN_STACK_CONFIDENCE:
            return entry
    return scored[0]


def _believe_names(result: Recognition, stacks: Sequence[Stack]) -> None:
    """Give each view that the data set names one of the stacks of that name: the one that geometry finds, else the last."""
    for view in VIEWS:
        named = [index for index, stack in enumerate(stacks) if stack.view == view and index != result.stack]
        if not named or (view in result.views and result.views[view].stack in named):
            continue
        chosen = max(named, key=lambda index: stacks[index].slices[0].acquired)
        seen = [other.view for other in (*result.views.values(), *result.undecided) if other.stack == chosen]
        result.views = {name: other for name, other in result.views.items() if other.stack != chosen}
        result.undecided = [other for other in result.undecided if other.stack != chosen]
        result.views[view] = FoundView(view, chosen, len(stacks[chosen].slices) // 2, confidence=1.0, named=view)
        kind = {"kind": "resembles", "other": seen[0]} if seen else {"kind": "alone"}
        result.findings.append(finding("view-doubtful", view, **kind))


def four_chambers(stacks: Sequence[Stack], found: Recognition) -> Recognition:
    """The result of `recognise`, with the 4ch slice as the stack to learn from. The plane of the short axis' middle slice
    (the more basal one of two) is added to the views. Without a 4ch view, the stack is None, and the candidate is the plane
    whose series is named 4ch, if there is exactly one."""
    # what makes the short axis doubtful does not make the 4ch view doubtful
    findings = [each if each.subject or each.level != FLAG else each.about("sax") for each in found.findings]
    changed = replace(found, stack=None, slice=None, candidate=None, axis=None, views={}, findings=findings)
    if (view := found.views.get("4ch")) is None:
        called = [index for index, stack in enumerate(stacks) if named_view(stack.text) == "4ch"]
        changed.candidate = called[0] if len(called) == 1 else None
        findings.insert(0, finding("not-recognised", "4ch", kind="no-stack" if found.stack is None else "no-plane"))
        return changed
    changed.stack = changed.candidate = view.stack
    changed.slice, changed.confidence, changed.named = view.slice, view.confidence, view.named
    changed.views = {name: other for name, other in found.views.items() if name != "4ch"}
    if found.stack is not None:
        slices = stacks[found.stack].slices
        middle = stacks[found.stack].in_order(found.axis).slices[(len(slices) - 1) // 2]
        rank = next(rank for rank, entry in enumerate(slices) if entry is middle)
        changed.views["sax"] = FoundView("sax", found.stack, rank, found.confidence, whole=True)
    return changed


def long_axis(stack: Stack) -> np.ndarray | None:
    """Unit vector from base to apex along a stack's normal, RAS+; None if base and apex cannot be distinguished. The headers
    of M&Ms-2 are mirrored from head to foot, so a stack that its data set names is also looked at in the mirror."""
    for mirror in ([1, 1, 1], [1, 1, -1])[: 1 + bool(stack.view)]:
        axis = base_to_apex(stack.normal * mirror).numpy() * mirror
        if not np.isnan(axis).any():
            return axis
    return None


def angle_to_usual_axis(stack: Stack) -> float:
    """Degrees between a stack's normal and the usual long axis, in [0, 90]."""
    return float(np.degrees(np.arccos(min(1.0, abs(stack.normal @ USUAL_LONG_AXIS)))))


def _score_stack(stacks: list[Stack], index: int) -> tuple[float, list[Candidate]]:
    """Log-odds that a stack is the short axis, and the resulting views of its planes."""
    stack = stacks[index]
    axis = long_axis(stack)
    if axis is None:
        return -10.0 - angle_to_usual_axis(stack) / 90, []
    step = float(np.median(stack.gaps))
    odds = -2.5 - 0.5 * (angle_to_usual_axis(stack) / 22) ** 2
    odds += np.log(min(len(stack.slices), 8) / 3)
    odds += 1.5 * (stack.phase_counts[1] >= 5) + 1.0 * stack.gated
    odds += 2.0 * (named_view(stack.text) == "sax") or 1.0 * bool(re.search(HEART_WORDS, stack.text))
    if stack.body_part:
        # headers of heart exams often name a wrong organ, so another organ only decides if nothing else suggests a
        # heart
        suggests_a_heart = any(
            other.gated or other.phase_counts[1] >= 5 or re.search(HEART_WORDS, other.text) for other in stacks
        )
        decides = named_organ(stack.body_part) is not None and not suggests_a_heart
        odds += 0.5 if re.search(CHEST, stack.body_part) else -8.0 if decides else -2.0
    odds -= 2.0 * (not 3.5 <= step <= 25)
    odds -= 3.0 * is_straight(stack.normal)
    planes = _candidates(stacks, index, axis)
    evidence = assign(planes, axis, stack.middle) if planes else 0.0
    return float(odds + np.clip(evidence, 0, 6)), planes


def _candidates(stacks: list[Stack], chosen: int, axis: np.ndarray) -> list[Candidate]:
    """Planes that roughly contain the long axis: every slice of a small stack, and, of a large stack, the slice nearest
    to the middle of the short-axis images."""
    middle = stacks[chosen].middle
    planes = []
    for index, stack in enumerate(stacks):
        if index == chosen or abs(stack.normal @ axis) > np.sin(np.radians(_MAX_TILT)):
            continue
        distance = [abs(stack.normal @ (stack.image_centre(entry) - middle)) for entry in stack.slices]
        few = len(stack.slices) <= 5
        hint = named_view(stack.text if few else "")
        for rank, entry in enumerate(stack.slices):
            if few or rank == int(np.argmin(distance)):
                centre, phases = stack.image_centre(entry), len(entry.phases)
                planes.append(Candidate(index, rank, centre, stack.normal, hint, phases, entry.acquired, entry.series))
    most = max((plane.phases for plane in planes), default=1)
    for plane in planes:
        plane.cine = 2 * plane.phases >= most
    return planes


def _choose_views(result: Recognition, planes: list[Candidate]) -> None:
    """Choose one plane for each view: cines before single frames, then the last acquired."""
    for view in VIEWS:
        same = [plane for plane in planes if plane.view == view]
        if not same:
            continue
        # first choose the slice nearest to the middle among the parallel slices of each series, then the last series
        nearest: dict[str, Candidate] = {}
        for plane in sorted(same, key=lambda plane: -abs(plane.distance)):
            nearest[plane.series] = plane
        likeliest = max(nearest.values(), key=lambda plane: (plane.cine, plane.posterior[view]))
        repeats = [plane for plane in nearest.values() if _is_repeat(plane, likeliest, view)]
        chosen = max(repeats, key=lambda plane: (plane.cine, plane.acquired))
        confidence = chosen.posterior[view]
        found = FoundView(view, chosen.stack, chosen.slice, confidence, chosen.hint)
        if confidence < MIN_CONFIDENCE:
            result.undecided.append(found)
        else:
            result.views[view] = found


def _is_repeat(plane: Candidate, other: Candidate, view: str) -> bool:
    if plane.posterior[view] < _REPEAT_SHARE * other.posterior[view]:
        return False
    turned = np.degrees(np.arccos(min(1.0, abs(plane.normal @ other.normal))))
    return turned <= _REPEAT_ANGLE and abs(plane.distance - other.distance) <= _REPEAT_DISTANCE


def _why_no_short_axis(stack: Stack) -> list[Finding]:
    """Why the stack nearest to a short axis is none."""
    degrees, limit = angle_to_usual_axis(stack), np.degrees(np.arccos(MIN_BASE_APEX_COSINE))
    values = {"count": len(stack.slices), "degrees": round(degrees), "limit": round(float(limit))}
    found = [finding("not-recognised", kind="no-short-axis", **values)]
    if part := named_organ(f"{stack.body_part} {stack.text}"):
        found.append(finding("series-of-organ", organ=part))
    if degrees <= limit and stack.phase_counts[1] < 5:
        found.append(finding("not-recognised", least=5, kind="few-phases"))
    return found
