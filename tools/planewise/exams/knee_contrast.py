"""Decide whether a series is T2-weighted and fat-suppressed, by its name, echo and repetition times, and scan options.

Each piece of evidence shifts the odds by its weight (natural logarithm). Times outweigh names: a modified protocol
keeps its name, but the header has the acquired values. For fat suppression, names and options count equally. The pixels
are not considered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from planewise.exams.stack import Stack
from planewise.words import listed, plain

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


class _Evidence(NamedTuple):
    label: str
    odds: float
    source: str


def contrast_of(stack: Stack) -> Contrast:
    """The contrast of a stack."""
    name = plain(_telling_name(stack))
    named = [label for label, pattern in _WEIGHTINGS.items() if re.search(pattern, name)]
    weighting = [_Evidence(label, _NAME_WEIGHTS[label], "name") for label in named if len(named) == 1]
    timed = timed_weighting(stack.echo_time, stack.repetition_time, stack.sequence)
    if timed:
        source = "sequence" if timed == "gradient echo" and "GR" in stack.sequence else "TE/TR"
        weighting.append(_Evidence(timed, _TIME_WEIGHTS[timed], source))
    fat = _fat_evidence(name, stack.fat_suppressed, bool(named))
    odds = [sum(piece.odds for piece in evidence) for evidence in (weighting, fat)]
    return Contrast(
        confidence=float(np.prod([1 / (1 + np.exp(-value)) for value in odds])),
        refused=min(odds) < REFUSED_ODDS,
        found=_in_words(weighting, fat),
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


def _fat_evidence(name: str, option: bool | None, tells_weighting: bool) -> list[_Evidence]:
    evidence = []
    if re.search(_NO_FAT_SUPPRESSION, name):
        evidence.append(_Evidence("no FS", _NO_FS_NAME, "name"))
    elif re.search(_FAT_SUPPRESSION, name):
        evidence.append(_Evidence("FS", _FS_NAME, "name"))
    elif tells_weighting:
        evidence.append(_Evidence("no FS", _SILENT_NAME, "name"))
    if option is not None:
        label, odds = ("FS", _FS_OPTIONS) if option else ("no FS", _NO_FS_OPTIONS)
        evidence.append(_Evidence(label, odds, "scan options"))
    return evidence


def _in_words(weighting: list[_Evidence], fat: list[_Evidence]) -> str:
    """``T2w FS by name and TE/TR``; conflicting evidence is listed: ``T2w by name but PDw by TE/TR, FS by name``."""
    labels = [list(dict.fromkeys(piece.label for piece in evidence)) for evidence in (weighting, fat)]
    if [len(found) for found in labels] == [1, 1] and labels[1] == ["FS"]:
        return f"{labels[0][0]} FS by {_sources([*weighting, *fat])}"
    parts = [
        " but ".join(f"{label} by {_sources(piece for piece in evidence if piece.label == label)}" for label in found)
        for evidence, found in zip((weighting, fat), labels, strict=True)
        if found
    ]
    return ", ".join(parts)


def _sources(evidence: Iterable[_Evidence]) -> str:
    return listed(dict.fromkeys(piece.source for piece in evidence))
