"""Decide in which of a knee's three planes a stack lies. For the rule see `knee`."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from planewise.exams.stack import Stack
from planewise.words import plain

#: Body axis of each plane's normal, RAS+.
AXES = {"sagittal": (1.0, 0.0, 0.0), "coronal": (0.0, 1.0, 0.0), "axial": (0.0, 0.0, 1.0)}
#: The stack to learn from, and the views whose planes are its targets.
STACK, VIEWS = "sagittal", ("axial", "coronal")
#: Two body axes are equally near a normal if its angles to them differ by less than this (degrees). Technologists'
#: planes vary by about 5 degrees, so a stack within 5 degrees of the middle, 45 degrees, could be either.
PLANE_MARGIN = 10.0
#: Confidence in a plane known from its name alone.
NAMED_CONFIDENCE = 0.75

_PLANE_NAMES = {
    "sagittal": r"(?<![a-z])sag",
    "coronal": r"(?<![a-z])cor(?!r|e)",
    "axial": r"(?<![a-z])(ax|axial|tra|trans\w*)(?![a-z])",
}


class LyingPlane(NamedTuple):
    """The plane in which a stack lies."""

    view: str | None
    """None if undecided"""
    near: list[str]
    """the planes that the normal allows, nearest first"""
    named: str | None
    """the plane claimed by the name"""
    confidence: float


def named_plane(text: str) -> str | None:
    """The plane that a series' name claims; None if it claims none or several."""
    found = [view for view, pattern in _PLANE_NAMES.items() if re.search(pattern, plain(text))]
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
