"""Decide in which of a knee's three planes a stack lies, and whether it is T2-weighted and fat-suppressed: by its name, echo
and repetition times, and scan options.

Each piece of evidence shifts the odds by its weight (natural logarithm). Times outweigh names: a modified protocol
keeps its name, but the header has the acquired values. For fat suppression, names and options count equally. The pixels
are not considered.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from planewise.exams.stack import Stack
from planewise.words import plain

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

_WEIGHTINGS = {
    "T2w": r"(?<![a-z0-9])t2(?!\s?(\*|star|map|gre|ffe))",
    "PDw": r"(?<![a-z])pdw?(fs|spa?ir|tse|fse)?(?![a-z])|(?<![a-z])(dp|rho)(?![a-z])|proton",
    "T1w": r"(?<![a-z0-9])t1",
    "gradient echo": r"t2\s?(\*|star|gre|ffe)|(?<![a-z])(gre|ffe|dess|medic|merge|flash|spgr|fiesta|trufi)(?![a-z])",
}
_NO_FAT_SUPPRESSION = r"\b(no|non|wo|w o|without|ohne)\s?(fs|fat\s?sat|fat\s?sup)|\bnfs\b|\bnonfs\b"
_FAT_SUPPRESSION = (
    r"(?<![a-z])fs(?![a-z])|(pd|t1|t2|w|tse|fse)fs\b|fat\s?sat|fat\s?sup|spa?ir(?![a-z])|\bstir\b|\btirm\b|water|"
    r"dixon.*\bw\b"
)


class Contrast(NamedTuple):
    """The evidence in a series' header about its contrast."""

    confidence: float
    """probability of T2 weighting with fat suppression; 0.25 if unknown"""
    refused: bool
    """whether the header indicates another contrast"""
    found: str
    """in words, without numbers and names; empty if unknown"""


def contrast_of(stack: Stack) -> Contrast:
    """The contrast of a stack."""
    name = plain(_telling_name(stack))
    named = [label for label, pattern in _WEIGHTINGS.items() if re.search(pattern, name)]
    weighting = {label: _NAME_WEIGHTS[label] for label in named if len(named) == 1}
    timed = timed_weighting(stack.echo_time, stack.repetition_time, stack.sequence)
    if timed:
        weighting[timed] = weighting.get(timed, 0.0) + _TIME_WEIGHTS[timed]
    fat = _fat_evidence(name, stack.fat_suppressed, bool(named))
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


def _telling_name(stack: Stack) -> str:
    """The series' description if it contains contrast information, otherwise the description together with the folder's
    name."""
    patterns = [*_WEIGHTINGS.values(), _NO_FAT_SUPPRESSION, _FAT_SUPPRESSION]
    tells = any(re.search(pattern, plain(stack.description)) for pattern in patterns)
    return stack.description if tells else stack.text


def _fat_evidence(name: str, option: bool | None, tells_weighting: bool) -> dict[str, float]:
    """The odds of fat suppression, from the series' name and from the scan options."""
    by_name = by_option = 0.0
    if re.search(_NO_FAT_SUPPRESSION, name):
        by_name = _NO_FS_NAME
    elif re.search(_FAT_SUPPRESSION, name):
        by_name = _FS_NAME
    elif tells_weighting:
        by_name = _SILENT_NAME
    if option is not None:
        by_option = _FS_OPTIONS if option else _NO_FS_OPTIONS
    odds = by_name + by_option
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
