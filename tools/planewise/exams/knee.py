"""Recognise the sagittal stack of a knee exam and its axial and coronal planes: geometry first. The rule and its limits are
in tools/docs/recognition.md.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from planewise.exams.exam import FoundView, Recognition
from planewise.exams.series_names import KNEE, named, named_organ
from planewise.exams.stack import Stack, is_localizer
from planewise.findings import finding

#: Contrasts that a user can request, the default first: T2-weighted with fat suppression, or any contrast.
CONTRASTS = ("t2fs", "any")

#: Evidence for T2 weighting: from the weighting that a name claims, and from the weighting that the times indicate.
_NAME_WEIGHTS = {"T2w": 2.0, "PDw": -2.0, "T1w": -2.5, "gradient echo": -2.5}
_TIME_WEIGHTS = {"T2w": 3.0, "PDw": -3.5, "T1w": -3.5, "gradient echo": -3.5}
#: Evidence for fat suppression: from the name, and from the scan options. Evidence against it: from the name, from scan
#: options without fat suppression, and from a name that gives the weighting but does not mention fat.
_FS_NAME, _FS_OPTIONS, _NO_FS_NAME, _NO_FS_OPTIONS, _SILENT_NAME = 2.5, 2.5, -3.0, -1.5, -0.7

#: Spin echoes are T2-weighted from the first of these echo times on, and proton-density- or T1-weighted up to the
#: second (ms). Knee T2 with fat suppression has 45 to 85 ms, PD 10 to 40; values in between decide nothing.
T2_ECHO_TIME, PD_ECHO_TIME = 45.0, 38.0
#: Repetition times (ms): PD and T2 are longer than the first, T1 is shorter than the second, and spin echoes are never
#: shorter than the third.
LONG_REPETITION_TIME, SHORT_REPETITION_TIME, GRADIENT_REPETITION_TIME = 1500.0, 1100.0, 200.0
#: If the log-odds of T2 weighting or of fat suppression are below this, the header indicates another contrast.
REFUSED_ODDS = -1.0


class Contrast(NamedTuple):
    """The evidence in a series' header about its contrast."""

    confidence: float  #: probability of T2 weighting with fat suppression; 0.25 if unknown
    refused: bool  #: whether the header indicates another contrast
    found: str  #: in words, without numbers and names; empty if unknown


def contrast_of(stack: Stack) -> Contrast:
    """The contrast of a stack."""
    # the folder's name counts only if the series' says nothing
    tells = named("weightings", stack.description) or named("fat", stack.description)
    name = stack.description if tells else stack.text
    claimed = named("weightings", name)
    weighting = {label: _NAME_WEIGHTS[label] for label in claimed if len(claimed) == 1}
    timed = timed_weighting(stack.echo_time, stack.repetition_time, stack.sequence)
    if timed:
        weighting[timed] = weighting.get(timed, 0.0) + _TIME_WEIGHTS[timed]
    fat = _fat_evidence(name, stack.fat_suppressed, bool(claimed))
    odds = [sum(evidence.values()) for evidence in (weighting, fat)]
    return Contrast(
        confidence=float(np.prod([1 / (1 + np.exp(-value)) for value in odds])),
        refused=min(odds) < REFUSED_ODDS,
        found=" ".join([*weighting, *fat]),
    )


def timed_weighting(echo_time: float | None, repetition_time: float | None, sequence: str) -> str | None:
    """The weighting that follows from a sequence and its times (ms); None if they leave it open."""
    sequences = set(sequence.split("/")) - {""}
    if "GR" in sequences and not sequences & {"SE", "IR"}:
        return "gradient echo"
    if not echo_time or not repetition_time:
        return None
    if repetition_time < GRADIENT_REPETITION_TIME and "SE" not in sequences:
        return "gradient echo"
    if repetition_time <= SHORT_REPETITION_TIME:
        return "T1w" if echo_time <= PD_ECHO_TIME else None
    if repetition_time < LONG_REPETITION_TIME:
        return None
    return "T2w" if echo_time >= T2_ECHO_TIME else "PDw" if echo_time <= PD_ECHO_TIME else None


def _fat_evidence(name: str, option: bool | None, tells_weighting: bool) -> dict[str, float]:
    """The odds of fat suppression, from the series' name and from the scan options."""
    odds = _SILENT_NAME if tells_weighting else 0.0
    if claimed := named("fat", name):
        odds = _FS_NAME if claimed[0] == "FS" else _NO_FS_NAME
    if option is not None:
        odds += _FS_OPTIONS if option else _NO_FS_OPTIONS
    return {"FS" if odds > 0 else "no FS": odds} if odds else {}


#: Body axis of each plane's normal, RAS+.
AXES = {"sagittal": (1.0, 0.0, 0.0), "coronal": (0.0, 1.0, 0.0), "axial": (0.0, 0.0, 1.0)}
#: The stack to learn from, and the views whose planes are its targets.
STACK, VIEWS = "sagittal", ("axial", "coronal")
#: Two body axes are equally near a normal if its angles to them differ by less than this (degrees). Technologists'
#: planes vary by about 5 degrees, so a stack within 5 degrees of the middle, 45 degrees, could be either.
PLANE_MARGIN = 10.0
#: Confidence in a plane known from its name alone.
NAMED_CONFIDENCE = 0.75


class LyingPlane(NamedTuple):
    """The plane in which a stack lies."""

    view: str | None  #: None if undecided
    near: list[str]  #: the planes that the normal allows, nearest first
    named: str | None  #: the plane claimed by the name
    confidence: float


def named_plane(text: str) -> str | None:
    """The plane that a series' name claims; None if it claims none or several."""
    found = named("planes", text)
    return found[0] if len(found) == 1 else None


def plane_of_stack(stack: Stack) -> LyingPlane:
    """Decide in which plane a stack lies."""
    normal = stack.normal
    angles = {view: np.degrees(np.arccos(min(1.0, abs(normal @ axis)))) for view, axis in AXES.items()}
    nearest = min(angles.values())
    near = sorted((view for view in angles if angles[view] < nearest + PLANE_MARGIN), key=angles.__getitem__)
    # the folder's name counts only if the description names no plane
    named = named_plane(stack.description) or named_plane(stack.text)
    if len(near) == 1:
        return LyingPlane(near[0], near, named, 1.0)
    view = named if named in near else None
    return LyingPlane(view, near, named, NAMED_CONFIDENCE)


#: A view's stack that is farther (mm) than this from the middle of the sagittal stack shows another place, such as the other
#: knee: the middles of adult knees are 150 mm apart and more.
APART = 60.0
#: Minimum number of slices of a sagittal stack to learn from. Table 1 of the paper has 15 and more; three-plane
#: localizers have 3 to 7.
MIN_SLICES = 5
#: A stack has a right and a left end if its normal is this near to the right-left axis (cosine; 72 degrees).
MIN_RIGHT_LEFT_COSINE = 0.3
#: Upper limit of a localizer's confidence.
LOCALIZER_CONFIDENCE = 0.2
#: Minimum probability of a stack to learn from.
MIN_CONFIDENCE = 0.05


def recognise(stacks: list[Stack], contrast: str = "t2fs") -> Recognition:
    """The sagittal stack of an exam, its axis from the patient's right to the left, and the planes of those `VIEWS`
    that exist.

    Args:
        stacks: stacks of one exam, with one image per slice.
        contrast: ``"t2fs"``, or ``"any"`` to take a sagittal stack whatever its contrast.
    """
    planes = [plane_of_stack(stack) for stack in stacks]
    parts = {}
    for index, stack in enumerate(stacks):
        # the series' name takes precedence over BodyPartExamined, which scanners copy from one protocol to the next
        part = named_organ(stack.description) or named_organ(stack.body_part)
        if part not in (None, KNEE):
            parts[index] = part
    contrasts = {index: contrast_of(stacks[index]) for index, plane in enumerate(planes) if plane.view == STACK}
    result = Recognition()
    _choose_sagittal(result, stacks, contrasts, parts, contrast == "any")
    if result.stack is not None:
        result.axis = right_to_left(stacks[result.stack])
    for view in VIEWS:
        pool = [
            index for index, plane in enumerate(planes) if plane.view == view and index not in (result.stack, *parts)
        ]
        _choose_view(result, stacks, planes, pool, view)
    used = {result.stack, *(found.stack for found in result.views.values())}
    for index, plane in enumerate(planes):
        if plane.view is None and index != result.stack:
            place = central_slice(stacks[index])
            result.undecided.append(FoundView(plane.near[0], index, place, 1 / len(plane.near), plane.named))
        elif plane.named and plane.view and plane.named != plane.view and index in used:
            number = stacks[index].slices[central_slice(stacks[index])].phases[0].series_number or "?"
            result.findings.append(
                finding("view-doubtful", plane.view, named=plane.named, number=number, kind="misnamed")
            )
    return result


def right_to_left(stack: Stack) -> np.ndarray | None:
    """Unit vector along a stack's normal from the patient's right to the left, RAS+; None if it has another direction."""
    across = stack.normal[0]
    return None if abs(across) < MIN_RIGHT_LEFT_COSINE else -np.sign(across) * stack.normal


def _choose_sagittal(
    result: Recognition, stacks: list[Stack], contrasts: dict[int, Contrast], parts: dict[int, str], any_contrast: bool
) -> None:
    """Choose ``stack``, ``candidate`` and ``confidence`` of the result; the reasons for and against stacks are added to
    ``findings``."""
    notes = result.findings
    others = {parts[index]: index for index in contrasts if index in parts}
    contrasts = {index: known for index, known in contrasts.items() if index not in parts}
    if not contrasts:
        result.candidate = next(iter(others.values()), None)
        notes.append(finding("not-recognised", kind="no-sagittal"))
        notes += [finding("series-of-organ", organ=part) for part in others]
        return
    enough = [index for index in contrasts if len(stacks[index].slices) >= MIN_SLICES]
    if not enough:
        result.candidate = max(contrasts, key=lambda index: len(stacks[index].slices))
        count = len(stacks[result.candidate].slices)
        notes.append(finding("no-stack", "sagittal", least=MIN_SLICES, most=count))
        return
    proper = [index for index in enough if not is_localizer(stacks[index])]
    pool = proper or enough
    # rounded to one digit, because one more word in a name does not make a stack better
    keys = {
        index: (round(contrasts[index].confidence, 1), len(stacks[index].slices), _acquired(stacks[index]))
        for index in pool
    }
    order = sorted(pool, key=keys.__getitem__, reverse=True)
    fitting = [index for index in order if any_contrast or not proper or not contrasts[index].refused]
    best = (fitting or order)[0]
    known = contrasts[best]
    confidence = plane_of_stack(stacks[best]).confidence * (1.0 if any_contrast else known.confidence)
    result.candidate, result.confidence = best, confidence
    if not fitting or confidence < MIN_CONFIDENCE:
        values = {"contrast": known.found or "?", "confidence": round(confidence, 3)}
        notes.append(finding("not-recognised", kind="contrast", **values))
        return
    if not proper:
        notes.append(finding("stack-remark", kind="localizer-used"))
        result.confidence = min(confidence, LOCALIZER_CONFIDENCE)
    elif not known.found:
        notes.append(finding("stack-remark", kind="contrast-unknown"))
    result.stack = best


def _acquired(stack: Stack) -> tuple:
    return max(entry.acquired for entry in stack.slices)


def _choose_view(
    result: Recognition, stacks: list[Stack], planes: list[LyingPlane], pool: list[int], view: str
) -> None:
    """Write the central slice of the stack in ``pool`` that represents a view into ``result.views``."""
    middle = None if result.stack is None else stacks[result.stack].middle
    distances = {index: 0.0 if middle is None else _away(stacks[index], middle) for index in pool}
    near = [index for index in pool if distances[index] <= APART]
    result.findings += [finding("stack-remark", view, kind="elsewhere")] * (len(near) < len(pool))
    if not near:
        return

    def key(index: int) -> tuple:
        stack = stacks[index]
        return not is_localizer(stack), -round(distances[index]), len(stack.slices), _acquired(stack)

    best = max(near, key=key)
    plane = planes[best]
    result.views[view] = FoundView(view, best, central_slice(stacks[best], middle), plane.confidence, named=plane.named)


def _away(stack: Stack, point: np.ndarray) -> float:
    """Distance (mm) from a point to the block that the images of a stack cover."""
    positions = [entry.position for entry in stack.slices]
    half = (float(np.median(stack.gaps)) if len(positions) > 1 else stack.thickness or 0.0) / 2
    place = float(point @ stack.normal)
    beyond = max(min(positions) - half - place, place - max(positions) - half, 0.0)
    return float(np.hypot(beyond, stack.beside(stack.slices[central_slice(stack, point)], point)))


def central_slice(stack: Stack, point: np.ndarray | None = None) -> int:
    """Rank of the slice nearest to the middle of the positions; if two slices are equally near, the rank of the slice nearer
    to ``point``."""
    positions = np.array([entry.position for entry in stack.slices])
    from_middle = np.abs(positions - (positions.min() + positions.max()) / 2)
    from_point = np.zeros(len(positions)) if point is None else np.abs(positions - float(point @ stack.normal))
    # the tolerance of 0.01 mm is for positions that headers round
    near = np.flatnonzero(from_middle <= from_middle.min() + 0.01)
    return int(near[np.argmin(from_point[near])])
