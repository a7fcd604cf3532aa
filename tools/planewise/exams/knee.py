"""Recognise the sagittal stack of a knee exam and its axial and coronal planes: geometry first.

The rule
--------
A stack is sagittal, coronal or axial, depending on the body axis (left-right, anterior-posterior, superior-inferior)
that is nearest to its normal in patient space; side, patient position and rotation of the knee do not matter. If two
axes are almost equally near (`PLANE_MARGIN`), the series' name decides; if the name gives no plane, the stack stays
undecided.

The bundles learn from the T2-weighted fat-suppressed sagittal stack (Zhang 2024, section 5.1.2). It must have
`MIN_SLICES` slices or more; `knee_series` recognises its contrast. Of several such stacks, the most likely one is
used, then the one with most slices, then the last acquired. Stacks whose header indicates another contrast are left out
unless any contrast is accepted. If the contrast is unknown, or if a localizer is the exam's only sagittal stack, that
stack is used with low confidence and a note, unless its confidence is below `MIN_CONFIDENCE`. If the exam also has a
proper sagittal stack, a localizer is never used.

Both the axial and the coronal plane are the central slice of a stack, which is the slice nearest to the middle of its
positions. Stacks that are not localizers come first, then those whose slices and images cover the middle of the sagittal
stack, then the one with most slices, then the last acquired. Contrast does not matter for a plane.

A stack shows another body part if its name says so, or if BodyPartExamined says so and the name does not mention a knee;
such a stack is not used. A stack more than 60 mm away from the middle of the sagittal stack gives no plane.

Limits
------
- Pixels are ignored: anything scanned along three planes counts as a knee, unless its names or BodyPartExamined mention
  another body part.
- If a knee is bent or rolled by more than about 40 degrees, its planes get wrong names.
- Wrong names of planes are overruled by the normal and reported; wrong names of contrasts are overruled only by echo
  and repetition times.
"""

from __future__ import annotations

import numpy as np

from planewise.exams.cardiac_views import KNEE, named_organ
from planewise.exams.knee_series import STACK, VIEWS, Contrast, LyingPlane, contrast_of, plane_of_stack
from planewise.exams.recognition import FoundView, Recognition
from planewise.exams.stack import Stack, is_localizer
from planewise.findings import finding
from planewise.geometry import PARALLEL_ANGLE

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


def recognise(stacks: list[Stack], chosen: int | None = None, contrast: str = "t2fs") -> Recognition:
    """The sagittal stack of an exam and the planes of its axial and coronal stacks.

    Args:
        stacks: stacks of one exam, from `stacks.build_stacks`, with one image per slice.
        chosen: index of the sagittal stack, if a person has chosen it.
        contrast: ``"t2fs"``, or ``"any"`` to take a sagittal stack whatever its contrast.

    Returns:
        The sagittal stack, its axis from the patient's right to the left, and the planes of those `VIEWS` that exist;
        remarks give a sagittal stack's contrast, or say that a stack is a localizer.
    """
    planes = [plane_of_stack(stack) for stack in stacks]
    parts = {
        index: part for index, stack in enumerate(stacks) if (part := other_part(stack.description, stack.body_part))
    }
    contrasts = {index: contrast_of(stacks[index]) for index, plane in enumerate(planes) if plane.view == STACK}
    remarks = {
        index: finding("stack-remark", contrast=known.found or "?", kind="contrast")
        for index, known in contrasts.items()
    }
    remarks |= {
        index: finding("stack-remark", kind="localizer") for index, stack in enumerate(stacks) if is_localizer(stack)
    }
    remarks |= {index: finding("series-of-organ", organ=part) for index, part in parts.items()}
    result = Recognition(remarks=remarks)
    if chosen is None:
        _choose_sagittal(result, stacks, contrasts, parts, contrast == "any")
    else:
        result.stack = result.candidate = chosen
        result.confidence = 1.0
    if result.stack is not None:
        result.axis = right_to_left(stacks[result.stack])
    for view in VIEWS:
        _choose_view(result, stacks, planes, parts, view)
    _tell_what_is_undecided(result, stacks, planes)
    return result


def other_part(description: str, body_part: str) -> str | None:
    """The body part other than a knee that a series shows, in words; None if nothing says so.

    The series' name takes precedence over BodyPartExamined, which scanners copy from one protocol to the next.
    """
    part = named_organ(description) or named_organ(body_part)
    return None if part == KNEE else part


def right_to_left(stack: Stack) -> np.ndarray | None:
    """Unit vector along a stack's normal from the patient's right to the left, RAS+; None if the normal has another
    direction.
    """
    across = stack.normal[0]
    return None if abs(across) < MIN_RIGHT_LEFT_COSINE else -np.sign(across) * stack.normal


def _choose_sagittal(
    result: Recognition, stacks: list[Stack], contrasts: dict[int, Contrast], parts: dict[int, str], any_contrast: bool
) -> None:
    """Choose ``stack``, ``candidate`` and ``confidence`` of the result; the reasons for and against stacks are added to
    ``findings``."""
    notes = result.findings
    if not contrasts:
        notes.append(finding("not-recognised", kind="no-sagittal"))
        return
    others = {parts[index]: index for index in contrasts if index in parts}
    contrasts = {index: known for index, known in contrasts.items() if index not in parts}
    if not contrasts:
        result.candidate = next(iter(others.values()))
        notes += [
            finding("not-recognised", kind="no-sagittal"),
            *(finding("series-of-organ", organ=part) for part in others),
        ]
        return
    notes += [finding("stack-left-out", "sagittal", organ=part, kind="organ") for part in others]
    enough = [index for index in contrasts if len(stacks[index].slices) >= MIN_SLICES]
    if not enough:
        result.candidate = max(contrasts, key=lambda index: len(stacks[index].slices))
        count = len(stacks[result.candidate].slices)
        notes.append(finding("no-stack", "sagittal", least=MIN_SLICES, most=count))
        return
    proper = [index for index in enough if not is_localizer(stacks[index])]
    pool = proper or enough
    order = sorted(pool, key=lambda index: _preference(stacks[index], contrasts[index]), reverse=True)
    fitting = [index for index in order if any_contrast or not proper or not contrasts[index].refused]
    if not fitting:
        result.candidate = order[0]
        known = contrasts[order[0]]
        notes.append(
            finding("not-recognised", contrast=known.found, confidence=round(known.confidence, 3), kind="contrast")
        )
        return
    best = fitting[0]
    result.candidate = best
    confidence = 1.0 if any_contrast else contrasts[best].confidence
    confidence *= plane_of_stack(stacks[best]).confidence
    if confidence < MIN_CONFIDENCE:
        notes.append(
            finding(
                "not-recognised",
                contrast=contrasts[best].found or "?",
                confidence=round(confidence, 3),
                kind="contrast",
            )
        )
        notes += [finding("stack-remark", kind="localizer")] if not proper else []
        result.confidence = confidence
        return
    if len(fitting) > 1:
        notes.append(finding("stack-remark", "sagittal", count=len(fitting), kind="several"))
    if not proper:
        notes.append(finding("stack-remark", kind="localizer-used"))
        confidence = min(confidence, LOCALIZER_CONFIDENCE)
    elif not contrasts[best].found:
        notes.append(finding("stack-remark", kind="contrast-unknown"))
    result.stack = best
    result.confidence = confidence


def _preference(stack: Stack, contrast: Contrast) -> tuple:
    # rounded to one digit, because one more word in a name does not make a stack better
    return round(contrast.confidence, 1), len(stack.slices), _acquired(stack)


def _acquired(stack: Stack) -> tuple:
    return max(entry.acquired for entry in stack.slices)


def _choose_view(
    result: Recognition, stacks: list[Stack], planes: list[LyingPlane], parts: dict[int, str], view: str
) -> None:
    """Write the central slice of the stack that represents a view into ``result.views``."""
    main = result.stack
    pool = [index for index, plane in enumerate(planes) if plane.view == view and index != main]
    others = dict.fromkeys(parts[index] for index in pool if index in parts)
    result.findings += [finding("stack-left-out", view, organ=part, kind="organ") for part in others]
    pool = [index for index in pool if index not in parts]
    if main is not None:
        tilted = [index for index in pool if stacks[index].angle_to(stacks[main]) >= np.degrees(PARALLEL_ANGLE)]
        if len(tilted) < len(pool):
            result.findings.append(finding("stack-left-out", view, kind="parallel"))
        pool = tilted
    middle = None if main is None else stacks[main].middle
    distances = {index: 0.0 if middle is None else _away(stacks[index], middle) for index in pool}
    result.findings += [
        finding("stack-left-out", view, mm=round(distance), kind="elsewhere")
        for distance in distances.values()
        if distance > APART
    ]
    pool = [index for index in pool if distances[index] <= APART]
    if not pool:
        return
    keys = {index: _view_preference(stacks[index], distances[index]) for index in pool}
    best = max(pool, key=keys.__getitem__)
    rivals = [index for index in pool if is_localizer(stacks[index]) == is_localizer(stacks[best])]
    if len(rivals) > 1:
        result.findings.append(finding("stack-remark", view, count=len(rivals), kind="several"))
    plane = planes[best]
    result.views[view] = FoundView(view, best, central_slice(stacks[best], middle), plane.confidence, named=plane.named)


def _view_preference(stack: Stack, away: float) -> tuple:
    """Sort key of an exam's axial (or coronal) stacks, of which the last is used; ``away`` is the distance (mm) from
    the middle of the sagittal stack."""
    return not is_localizer(stack), -round(away), len(stack.slices), _acquired(stack)


def _away(stack: Stack, point: np.ndarray) -> float:
    """Distance (mm) from a point to the block that the images of a stack cover."""
    return float(np.hypot(_beyond(stack, point), stack.beside(stack.slices[central_slice(stack, point)], point)))


def _beyond(stack: Stack, point: np.ndarray) -> float:
    """Distance (mm) of a point from the slab that a stack covers, along the stack's normal."""
    positions = [entry.position for entry in stack.slices]
    half = (float(np.median(stack.gaps)) if len(positions) > 1 else stack.thickness or 0.0) / 2
    place = float(point @ stack.normal)
    return max(min(positions) - half - place, place - max(positions) - half, 0.0)


def central_slice(stack: Stack, point: np.ndarray | None = None) -> int:
    """Rank of the slice nearest to the middle of the positions; if two slices are equally near, the rank of the slice nearer
    to ``point``."""
    positions = np.array([entry.position for entry in stack.slices])
    from_middle = np.abs(positions - (positions.min() + positions.max()) / 2)
    from_point = np.zeros(len(positions)) if point is None else np.abs(positions - float(point @ stack.normal))
    # the tolerance of 0.01 mm is for positions that headers round
    near = np.flatnonzero(from_middle <= from_middle.min() + 0.01)
    return int(near[np.argmin(from_point[near])])


def _tell_what_is_undecided(result: Recognition, stacks: list[Stack], planes: list[LyingPlane]) -> None:
    """Add remarks about stacks between two planes, wrong names and unused localizers."""
    for index, plane in enumerate(planes):
        if plane.view is None and index != result.stack:
            first, *others = plane.near
            share = 1 / len(plane.near)
            runners_up = {other: round(share, 3) for other in others}
            result.undecided.append(
                FoundView(first, index, central_slice(stacks[index]), share, runners_up, plane.named)
            )
            result.findings.append(finding("stack-remark", likely=plane.near, kind="undecided"))
    used = {result.stack, *(found.stack for found in result.views.values())}
    for index, plane in enumerate(planes):
        if plane.named and plane.view and plane.named != plane.view and index in used:
            number = stacks[index].slices[central_slice(stacks[index])].phases[0].series_number or "?"
            result.findings.append(
                finding("view-doubtful", plane.view, named=plane.named, number=number, kind="misnamed")
            )
    idle = sum(is_localizer(stack) for index, stack in enumerate(stacks) if index not in used)
    if idle and result.stack is not None:
        result.findings.append(finding("stack-left-out", count=idle, kind="localizers"))
