"""An exam: the images of one study that share a frame of reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from planewise.exams.stack import Stack
from planewise.findings import Finding


@dataclass(slots=True)
class FoundView:
    """A slice that shows, or may show, a view."""

    view: str
    stack: int  #: index among the exam's stacks
    slice: int  #: rank within that stack
    confidence: float  #: in [0, 1]
    named: str | None = None  #: view claimed by the series' name
    whole: bool = False  #: whether it stands for its whole stack, as the short axis next to a 4ch slice does


@dataclass(slots=True, eq=False)
class Recognition:
    """The stack of an exam to learn from, and the planes of its views."""

    stack: int | None = None  #: index of that stack among the stacks of the exam; None if no stack is good enough
    slice: int | None = None  #: rank of its only slice to learn from; None for all slices
    candidate: int | None = None  #: index of the best stack, even if it is not good enough
    confidence: float = 0.0  #: confidence of that stack, in [0, 1]
    axis: np.ndarray | None = None  #: (3,), unit vector from base to apex or right to left, RAS+; None if unknown
    named: str | None = None  #: view that the series' name claims, if the bundles learn from a single slice
    views: dict[str, FoundView] = field(default_factory=dict)
    undecided: list[FoundView] = field(default_factory=list)  #: planes whose best view is too uncertain
    findings: list[Finding] = field(default_factory=list)
    """what was left out, and why; flags: other stacks may be parts of the stack to learn from, it is not a cine, or geometry
    does not show the views that the data set names"""

    def learned(self, stacks: Sequence[Stack], index: int) -> Stack:
        """A stack of the exam as a network learns from it: with all its slices in order, or with one of them."""
        stack = stacks[index]
        if self.slice is not None and index == self.stack:
            stack = replace(stack, slices=[stack.slices[self.slice]])
        return stack.in_order(self.axis)


@dataclass(slots=True, eq=False)
class Exam:
    """The stacks of one study that share a frame of reference."""

    key: str  #: raw identifier of the exam, hashed before anything is written
    patient_key: str  #: raw identifier of the patient, also hashed before anything is written
    folder: Path  #: folder of the exam's files
    stacks: list[Stack]
    findings: list[Finding] = field(default_factory=list)
    """what was left out or assumed; flags: signs that the exam lacks images, or has those of another one"""
    case: str = ""  #: name in a NIfTI file; empty for DICOM
    name: str = ""  #: hash of the exam
    patient: str = ""  #: hash of the patient
    found: Recognition | None = None  #: result of the recognition; None before it has run
    main_stack: Stack | None = None  #: the stack to learn from, in order; None if there is none
