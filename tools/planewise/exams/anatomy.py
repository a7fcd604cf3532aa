"""The record of an anatomy: how it is recognised, drawn and named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from planewise.exams.recognition import Recognition
from planewise.exams.stack import Stack


@dataclass(frozen=True)
class Look:
    """How an exam is drawn. The defaults suit any organ."""

    ends: tuple[str, str] = ("first", "last")
    """names of the first and the last slice"""
    more_views: tuple[str, ...] = ()
    """further views, drawn next to the targets if there are any"""
    fields: tuple[float, float] | None = (170.0, 170.0)
    """size of the region that is shown, in a slice of the stack and in another view, mm; None shows whole images"""
    upright: bool = True
    """whether the 3D picture has the patient's orientation; otherwise the stack's first slice is on top"""
    sigma: float = 5.0
    """width of the heatmaps, mm; equals 6 pixels of the paper's grid if the paper covers the anatomy"""

    @property
    def locations(self) -> str:
        """The meaning of locations 0 and 1."""
        return f"0 {self.ends[0]}, 1 {self.ends[1]}"


@dataclass(frozen=True)
class Words:
    """The words that a study's page uses for an anatomy."""

    stack: str
    """name of the stack to learn from"""
    views: str
    """name of the target views"""
    location: str
    """meaning of locations 0 and 1 after the pretext's target transform"""
    exam: str
    """content of an exam's picture"""
    regression: str = ""
    """figure of Zhang 2024 that plots predicted against true locations; empty if the paper has none"""
    heatmaps: str = ""
    """figure of the paper that shows predicted heatmaps; empty if the paper has none"""
    planners: str = ""
    """sentence on published view planners, with a leading space; empty if there are none"""


@dataclass(frozen=True)
class Anatomy:
    """How an anatomy's exams are recognised, drawn and described."""

    name: str
    """name for ``--anatomy`` and in the datalist"""
    stack: str
    """name of the stack to learn from"""
    called: str
    """adjective for that stack in messages"""
    targets: tuple[str, ...]
    """target views; empty if only locations are learned"""
    views: tuple[str, ...]
    """every view that an exam may have"""
    recognise: Callable[..., Recognition]
    """function that takes stacks, and optionally the index of a stack that a person chose, and returns the recognition"""
    axis: Callable[[Stack], np.ndarray | None]
    """function that takes a stack and returns the unit vector (3,) along which its slices are counted, RAS+, or None if it is
    unknown"""
    unordered: str
    """kind of the finding `no-locations` about a stack without such a vector; empty if there is nothing to order"""
    moving: bool
    """whether the images of one slice are phases"""
    words: Words
    look: Look = field(default_factory=Look)
    contrasts: tuple[str, ...] = ()
    """values of ``--contrast``, the default first"""
    inputs: Literal["exams", "views", "knees", "stacks", "volumes", "photographs"] = "exams"
    """which files are read in addition to DICOM exams, and how. ``"exams"``: NIfTI files, as whole volumes. ``"views"``: also
    NIfTI files that are named by their view (M&Ms-2, UK Biobank), as exams. ``"knees"``: also MRNet's volumes. ``"stacks"``:
    NIfTI files, too; each suitable stack is an exam. ``"volumes"``: cases, which are whole volumes of one or several channels
    (`planewise.exams.cases`). ``"photographs"``: only photographs (`planewise.exams.photographs`)"""
    modalities: tuple[str, ...] = ("MR",)
    """accepted modalities of its DICOM images"""
    seen_from: Callable[[Sequence[Stack], Recognition], Recognition] | None = None
    """function that takes stacks and their recognition, and returns the recognition with another stack to learn from. It is
    None if networks learn from the recognised stack.
    """

    @property
    def whole(self) -> bool:
        """Whether cases are whole volumes or photographs instead of slices or phases."""
        return self.inputs in ("volumes", "photographs")

    @property
    def one_slice(self) -> bool:
        """Whether the anatomy learns from one slice of an exam instead of a stack."""
        return self.seen_from is not None
