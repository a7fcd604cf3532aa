"""Tell a knee from other body parts in its study, and two knees from each other: by names, BodyPartExamined and distance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from planewise.exams.cardiac_views import KNEE, named_organ
from planewise.exams.frame import Frame
from planewise.exams.knee_planes import AXES, STACK
from planewise.findings import Finding, finding

#: Two sagittal series whose middles are farther apart (mm) show two places, such as both knees. The middles of adult knees
#: are 150 mm apart and more, and two series of one knee differ by less than half the width of a knee. A view's stack that is
#: farther than this from the middle of the sagittal stack shows another place, too.
APART = 60.0
#: An image belongs to the place nearest to its middle, and to every other place that is at most this many times as far away,
#: so that a stack across both knees belongs to both.
_SHARED = 1.5
#: Minimum number of sagittal images of a place.
_MIN_IMAGES = 5


def other_part(description: str, body_part: str) -> str | None:
    """The body part other than a knee that a series shows, in words; None if nothing says so.

    The series' name takes precedence over BodyPartExamined, which scanners copy from one protocol to the next.
    """
    part = named_organ(description) or named_organ(body_part)
    return None if part == KNEE else part


def places_apart(frames: Sequence[Frame]) -> list[tuple[list[Frame], Finding | None]]:
    """Divide the frames of an exam by the places that its sagittal series show, if these are more than `APART` from each
    other: two knees in one frame of reference are two exams.

    Returns:
        For each place, from the patient's right to the left, its frames and a note; if there is only one place, all frames
        without a note.
    """
    places: list[np.ndarray] = []
    for middle in _sagittal_middles(frames):
        if all(np.linalg.norm(middle - place) > APART for place in places):
            places.append(middle)
    if len(places) < 2:
        return [(list(frames), None)]
    places.sort(key=lambda place: place[0])
    members: list[list[Frame]] = [[] for _ in places]
    for frame in frames:
        distances = np.linalg.norm(_centre(frame) - np.array(places), axis=1)
        nearest = int(distances.argmin())
        shared = distances <= _SHARED * distances.min()
        for number in [nearest] if _is_sagittal(frame) else np.flatnonzero(shared):
            members[number].append(frame)
    apart = np.linalg.norm(places[0] - places[-1])
    return [
        (
            own,
            finding("places-apart", count=len(places), mm=round(float(apart)), number=number),
        )
        for number, own in enumerate(members, start=1)
    ]


def _sagittal_middles(frames: Sequence[Frame]) -> list[np.ndarray]:
    """The middle of the images of each sagittal series of a knee, (3,), RAS+, mm, the longest first. Localizers do not count.
    A series is cut where its images are more than `APART` from each other."""
    series = defaultdict(list)
    for frame in frames:
        if _is_sagittal(frame) and not frame.localizer and other_part(frame.description, frame.body_part) is None:
            series[frame.series_or_folder].append(_centre(frame))
    runs = []
    for centres in series.values():
        ordered = sorted(centres, key=tuple)
        runs.append(ordered[:1])
        for before, centre in pairwise(ordered):
            if np.linalg.norm(centre - before) > APART:
                runs.append([])
            runs[-1].append(centre)
    enough = sorted((run for run in runs if len(run) >= _MIN_IMAGES), key=len, reverse=True)
    return [np.median(run, axis=0) for run in enough]


def _is_sagittal(frame: Frame) -> bool:
    """Whether the left-right axis is nearest to the image's normal."""
    axes = np.asarray(frame.affine)[:3, :2]
    normal = np.abs(np.cross(axes[:, 0], axes[:, 1]))
    return int(normal.argmax()) == list(AXES).index(STACK)


def _centre(frame: Frame) -> np.ndarray:
    """The middle of an image, (3,), RAS+, mm."""
    return (np.asarray(frame.affine) @ [(frame.columns - 1) / 2, (frame.rows - 1) / 2, 0, 1])[:3]
