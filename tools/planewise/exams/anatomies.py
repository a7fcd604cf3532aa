"""One record for each anatomy that the indexer knows. To add an anatomy, add its record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import numpy as np

from planewise.errors import InputError
from planewise.exams import any_organ, cardiac, knee
from planewise.exams.cardiac_views import VIEWS
from planewise.exams.exam import Recognition
from planewise.exams.knee import CONTRASTS
from planewise.exams.knee import STACK as KNEE_STACK
from planewise.exams.knee import VIEWS as KNEE_VIEWS
from planewise.exams.stack import Stack
from planewise.exams.stacks import still


@dataclass(frozen=True)
class Look:
    """How an exam is drawn. The defaults suit any organ."""

    ends: tuple[str, str] = ("first", "last")  #: names of the first and the last slice
    more_views: tuple[str, ...] = ()  #: further views, drawn next to the targets if there are any

    @property
    def locations(self) -> str:
        """The meaning of locations 0 and 1."""
        return f"0 {self.ends[0]}, 1 {self.ends[1]}"


@dataclass(frozen=True)
class Anatomy:
    """How an anatomy's exams are recognised and drawn."""

    name: str  #: name for ``--anatomy`` and in the datalist
    stack: str  #: name of the stack to learn from
    called: str  #: adjective for that stack in messages
    targets: tuple[str, ...]  #: target views; empty if only locations are learned
    views: tuple[str, ...]  #: every view that an exam may have
    recognise: Callable[..., Recognition]  #: function that takes stacks and returns the recognition
    axis: Callable[[Stack], np.ndarray | None]
    """function that takes a stack and returns the unit vector (3,) along which slices are counted, RAS+; None if unknown"""
    unordered: str  #: kind of the finding `no-locations` without such a vector; empty if there is nothing to order
    moving: bool  #: whether the images of one slice are phases
    look: Look = field(default_factory=Look)
    contrasts: tuple[str, ...] = ()  #: values of ``--contrast``, the default first
    inputs: Literal["exams", "views", "knees", "stacks", "volumes", "photographs"] = "exams"
    """which files are read in addition to DICOM exams. ``"exams"``: NIfTI files, as whole volumes; ``"views"``: also
    as exams, if they are named by their view (M&Ms-2, UK Biobank); ``"knees"``: also MRNet's volumes; ``"stacks"``:
    each suitable stack of NIfTI files is an exam; ``"volumes"``: cases of one or several channels; ``"photographs"``:
    only photographs"""
    modalities: tuple[str, ...] = ("MR",)  #: accepted modalities of its DICOM images
    seen_from: Callable[[Sequence[Stack], Recognition], Recognition] | None = None  #: with another stack to learn from

    @property
    def whole(self) -> bool:
        """Whether cases are whole volumes or photographs instead of slices or phases."""
        return self.inputs in ("volumes", "photographs")

    def prepared(self, stacks: list[Stack]) -> list[Stack]:
        """The stacks as they are recognised: if the organ does not move, with one image per slice."""
        return stacks if self.moving else [still(stack) for stack in stacks]

    def found(self, stacks: list[Stack]) -> Recognition:
        """The stack of an exam that networks learn from, and its views."""
        found = self.recognise(stacks)
        return found if self.seen_from is None else self.seen_from(stacks, found)

    @property
    def one_slice(self) -> bool:
        """Whether the anatomy learns from one slice of an exam instead of a stack."""
        return self.seen_from is not None


HEART = Anatomy(
    name="cardiac",
    stack="sax",
    called="short-axis",
    targets=("2ch", "4ch"),
    views=tuple(VIEWS),
    recognise=cardiac.recognise,
    axis=cardiac.long_axis,
    unordered="base-and-apex",
    inputs="views",
    moving=True,
    look=Look(ends=("base", "apex"), more_views=("3ch",)),
)

#: The heart, learned from its 4ch slice. The 2ch view and the short axis' middle slice intersect it (Bai 2019, section
#: 2).
HEART_4CH = replace(
    HEART,
    stack="4ch",
    called="4-chamber",
    targets=("2ch", "sax"),
    views=("sax", *(view for view in VIEWS if view != "4ch")),
    axis=lambda stack: None,
    unordered="",
    seen_from=cardiac.four_chambers,
)

KNEE = Anatomy(
    name="knee",
    stack=KNEE_STACK,
    called="sagittal",
    targets=KNEE_VIEWS,
    views=KNEE_VIEWS,
    recognise=knee.recognise,
    axis=knee.right_to_left,
    unordered="right-and-left",
    inputs="knees",
    moving=False,
    look=Look(ends=("right", "left")),
    contrasts=CONTRASTS,
)

ANY = Anatomy(
    name="any",
    stack="stack",
    called="parallel",
    targets=(),
    views=(),
    recognise=any_organ.recognise,
    axis=any_organ.axis,
    unordered="first-end",
    inputs="stacks",
    moving=True,
)

VOLUME = replace(
    ANY,
    name="volume",
    stack="volume",
    unordered="",
    inputs="volumes",
    moving=False,
    modalities=("MR", "CT"),
)

PHOTOGRAPH = replace(
    VOLUME,
    name="photograph",
    stack="photograph",
    inputs="photographs",
)

#: Name to record.
ANATOMIES = {anatomy.name: anatomy for anatomy in (HEART, KNEE, ANY, VOLUME, PHOTOGRAPH)}


def choose_anatomy(name: str, contrast: str | None = None, view: str | None = None) -> Anatomy:
    """The anatomy with this name, set to recognise a contrast and to learn from a view's stack; None for its own.

    Raises:
        InputError: there is no such anatomy, or it has no such contrast or stack.
    """
    if name not in ANATOMIES:
        raise InputError(f"anatomy {name!r} is not known; choose one of {', '.join(ANATOMIES)}")
    anatomy = ANATOMIES[name]
    stacks = {other.stack: other for other in (anatomy, HEART_4CH) if other.name == name}
    if view is not None and view not in stacks:
        raise InputError(f"view {view!r} is not known for anatomy {name!r}; choose one of {', '.join(stacks)}")
    anatomy = stacks[view or anatomy.stack]
    if contrast is None:
        return anatomy
    if contrast not in anatomy.contrasts:
        there = f"there are: {', '.join(anatomy.contrasts)}" if anatomy.contrasts else "leave --contrast out"
        raise InputError(f"contrast {contrast!r} is not known for anatomy {name!r}; {there}")
    return replace(anatomy, recognise=partial(anatomy.recognise, contrast=contrast))


def anatomy_of_stack(stack: str) -> Anatomy | None:
    """The anatomy that learns from a stack of this name, ``"sax"``, ``"4ch"`` or ``"sagittal"``; None if there is none."""
    return next((anatomy for anatomy in (*ANATOMIES.values(), HEART_4CH) if anatomy.stack == stack), None)
