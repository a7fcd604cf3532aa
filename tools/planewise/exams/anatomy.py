"""The record of an anatomy: what is looked for, how it is drawn, what people call it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from planewise.exams.recognition import Recognition
from planewise.exams.stack import Stack


@dataclass(frozen=True)
class Look:
    """How an exam is drawn. The defaults suit any organ."""

    ends: tuple[str, str] = ("first", "last")
    """what the first and the last slice are called"""
    more_views: tuple[str, ...] = ()
    """drawn next to the targets, if there are any"""
    fields: tuple[float, float] | None = (170.0, 170.0)
    """what is shown of a slice of the stack and of another view, mm; None for whole images"""
    upright: bool = True
    """whether the picture in space stands as the patient does, or with the stack's first slice on top"""
    sigma: float = 5.0
    """width of the heatmaps, mm; 6 pixels of the paper's grid where the paper has the anatomy"""

    @property
    def locations(self) -> str:
        """What 0 and 1 of the location mean."""
        return f"0 {self.ends[0]}, 1 {self.ends[1]}"


@dataclass(frozen=True)
class Words:
    """What a study's page says of an anatomy."""

    organ: str
    stack: str
    """what the stack that is learned from is called"""
    views: str
    """what the views whose planes are targets are called"""
    location: str
    """what 0 and 1 of the location mean after the target transform that the pretext uses"""
    exam: str
    """what the picture of an exam shows"""
    regression: str = ""
    """figure of Zhang 2024 with predicted against true locations; empty where the paper has none, as the two below"""
    heatmaps: str = ""
    """figure of the paper with predicted heatmaps"""
    planners: str = ""
    """sentence on published view planners, with a space in front"""


@dataclass(frozen=True)
class PhantomLayouts:
    """In which data sets' layouts phantoms of an anatomy are written."""

    unlabelled: str
    """to pretrain on"""
    labelled: str
    """to fine-tune on"""


@dataclass(frozen=True)
class Anatomy:
    """How an anatomy's exams are recognised, drawn and spoken of."""

    name: str
    """as ``--anatomy`` takes it and the datalist holds it"""
    stack: str
    """name of the stack that is learned from"""
    called: str
    """the same for people"""
    targets: tuple[str, ...]
    """views whose planes are targets; none where only locations are learned"""
    views: tuple[str, ...]
    """every view that an exam may have"""
    recognise: Callable[..., Recognition]
    """stacks (and the index of the stack that a person chose) to what was found"""
    axis: Callable[[Stack], np.ndarray | None]
    """stack to the unit vector (3,) along which its slices are counted, RAS+; None if that is unknown"""
    unordered: str
    """message about a stack without such a vector; empty where there is nothing to order"""
    moving: bool
    """whether the images of one slice are phases"""
    words: Words
    look: Look = field(default_factory=Look)
    phantoms: PhantomLayouts | None = None
    """None if there are no phantoms of it"""
    contrasts: tuple[str, ...] = ()
    """what ``--contrast`` may say, the default first"""
    every_stack: bool = False
    """whether each stack that suits is an exam of its own, the ones that NIfTI volumes are among them; otherwise one stack
    of an exam is learned from, and volumes stay whole"""
    whole: bool = False
    """whether cases are whole volumes, of one or several channels, and not slices or phases"""
    photographs: bool = False
    """whether cases are photographs (`planewise.exams.photographs`)"""
    modalities: tuple[str, ...] = ("MR",)
    """what may have acquired its DICOM images"""
    in_mrnet: bool = False
    """whether MRNet's volumes show it"""
    in_views: bool = False
    """whether NIfTI files that are named by their view (M&Ms-2, UK Biobank) show it, and are recognised"""
    seen_from: Callable[[Sequence[Stack], Recognition], Recognition] | None = None
    """stacks and what was recognised in them to the same exam with another stack to learn from; None where that stays"""

    @property
    def one_slice(self) -> bool:
        """Whether one slice of an exam is learned from, and no stack."""
        return self.seen_from is not None
