"""What the name of a series says, which is only a hint. `series_names.yaml` lists the words."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from planewise.words import plain

_WORDS = yaml.safe_load(Path(__file__).with_name("series_names.yaml").read_text("utf-8"))
#: Words that identify a heart, and body parts that suit it, as patterns.
HEART_WORDS, CHEST = "|".join([_WORDS["heart"]["name"], *_WORDS["views"].values()]), _WORDS["heart"]["part"]
#: PatientIDs that identify nobody: the study takes the patient's place.
NOBODY = {*_WORDS["nobody"]}
#: The words for a knee in messages.
KNEE = "a knee"


def named(kind: str, text: str) -> list[str]:
    """What the name of a series claims, of one kind in the list (``"views"``, ``"planes"``, ...), in the list's order."""
    return [name for name, pattern in _WORDS[kind].items() if re.search(pattern, plain(text))]


def named_organ(text: str) -> str | None:
    """The organ, other than a heart, that the body part or a series' name claims; None if they name none."""
    return next(iter(named("organs", text)), None)


def named_view(text: str) -> str | None:
    """The view of a heart that a series' name claims, or None: two series may claim the same view, or a wrong one."""
    return next(iter(named("views", text)), None)
