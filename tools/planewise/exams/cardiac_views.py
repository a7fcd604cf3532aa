"""Typical positions of the standard views' planes in the heart, the names of their series, and the numbers of structures in
their masks. For the positions see `cardiac`."""

from __future__ import annotations

import re
from typing import NamedTuple

from planewise.words import plain


class View(NamedTuple):
    """The typical position of a view's plane in the heart, degrees and mm. Pairs are mean and standard deviation."""

    angle: tuple[float, float]
    """angle of its line in the short axis"""
    tilt: float
    """standard deviation of its angle against the long axis"""
    offset: tuple[float, float]
    """distance of its line from the middle of the left ventricle, to the patient's right"""
    prior: float
    """probability that an exam has this view"""


VIEWS = {
    "2ch": View(angle=(64, 11), tilt=11, offset=(0, 11), prior=0.85),
    "3ch": View(angle=(124, 14), tilt=11, offset=(0, 11), prior=0.35),
    "4ch": View(angle=(-4, 11), tilt=11, offset=(0, 11), prior=0.9),
    "rv2ch": View(angle=(74, 14), tilt=14, offset=(36, 13), prior=0.15),
    "rvot": View(angle=(93, 14), tilt=16, offset=(26, 13), prior=0.12),
}
#: Planes that are not a view.
OTHER = "other"

_HINTS = {
    "rv2ch": r"\brv\b.{0,8}(2 ?ch|two|2 ?cv|vla)|(2 ?ch|2 ?cv|vla).{0,4}\brv\b|\brv2ch\b",
    "rvot": r"rvot|rv out|\brv\b.{0,4}outflow",
    "3ch": r"\b3 ?ch|\b3 ?cv|three ?ch|\blvot\b|\b3 ?kammer|\b3 ?kb\b",
    "4ch": r"\b4 ?ch|\b4 ?cv|four ?ch|\bhla\b|\b4 ?kammer|\b4 ?kb\b",
    "2ch": r"\b2 ?ch|\b2 ?cv|two ?ch|\bvla\b|\b2 ?kammer|\b2 ?kb\b",
    "sax": r"\bsax?\b|short ?ax|\bksa\b|kurz",
}
#: Words that identify a heart, as a pattern.
HEART_WORDS = r"cine|heart|card|ventric|trufi|fiesta|bssfp|\blge\b|" + "|".join(_HINTS.values())

#: The words for a knee in messages.
KNEE = "a knee"
_OTHER_ORGANS = {
    KNEE: r"knee|\bknie|genou",
    "a head": r"head|brain",
    "a spine": r"spine",
    "a hip": r"\bhips?\b|pelvis|\bh(ü|ue|u)ft",
    "an ankle": r"ankle|sprunggelenk",
    "a foot": r"\bfoot\b(?! first)",
    "a shoulder": r"shoulder|schulter",
    "an elbow": r"elbow|ellbogen",
    "a wrist": r"wrist|handgelenk",
}


def named_organ(text: str) -> str | None:
    """The organ, other than a heart, that the body part or a series' name claims; None if they name none of
    `_OTHER_ORGANS`."""
    return next((organ for organ, pattern in _OTHER_ORGANS.items() if re.search(pattern, plain(text))), None)


def named_view(text: str) -> str | None:
    """The view that a series' name claims, or None. Names are hints: two series may claim the same view, or a wrong
    view."""
    return next((view for view, pattern in _HINTS.items() if re.search(pattern, plain(text))), None)
