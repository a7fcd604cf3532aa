"""One record for each anatomy that the indexer knows. To add an anatomy, add its record."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from planewise.errors import InputError
from planewise.exams import any_organ, cardiac, knee
from planewise.exams.anatomy import Anatomy, Look, Words
from planewise.exams.cardiac_views import VIEWS
from planewise.exams.knee_series import CONTRASTS
from planewise.exams.knee_series import STACK as KNEE_STACK
from planewise.exams.knee_series import VIEWS as KNEE_VIEWS
from planewise.exams.stack import Stack
from planewise.exams.stacks import still

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
    words=Words(
        stack="short axis",
        views="long-axis views",
        location="0 at the base, 1 at the apex",
        exam="short-axis slices with the lines and heatmaps of the 2ch and 4ch views, and these views with the lines of "
        "the stack (the paper's Figs. 2 and 3)",
        regression="Fig. 6, left",
        heatmaps="Fig. 4",
        planners=" Published view planners reach 5.7 to 6.0 deg and 3.1 to 3.5 mm on patients (arXiv 2109.11715, "
        "2309.12805).",
    ),
    look=Look(ends=("base", "apex"), more_views=("3ch",), fields=(150.0, 190.0), upright=False, sigma=7.6),
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
    words=replace(
        HEART.words,
        stack="4-chamber view",
        views="2-chamber view and short axis",
        exam="the 4-chamber slice with the lines and heatmaps of the 2ch view and of the short axis' middle slice, and these "
        "two images with the line of the 4-chamber slice (Bai 2019, Fig. 1)",
    ),
    look=replace(HEART.look, fields=(190.0, 190.0)),
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
    words=Words(
        stack="sagittal series",
        views="axial and coronal views",
        location="0 at both sides of the knee, 1 at the centre",
        exam="sagittal slices with the lines and heatmaps of the axial and coronal views, and these views with the lines "
        "of the series",
        regression="Fig. 6, right",
        heatmaps="Fig. 5",
    ),
    look=Look(ends=("right", "left"), sigma=3.0),
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
    words=Words(
        stack="stack",
        views="other views",
        location="0 at one end of the stack, 1 at the other (the patient's left, front or head)",
        exam="parallel slices",
    ),
    look=Look(fields=None),  # an organ may lie anywhere in a slice
)

VOLUME = replace(
    ANY,
    name="volume",
    stack="volume",
    unordered="",
    inputs="volumes",
    moving=False,
    words=replace(ANY.words, stack="volume", exam="slices of the volume and its mask"),
    modalities=("MR", "CT"),
)

PHOTOGRAPH = replace(
    VOLUME,
    name="photograph",
    stack="photograph",
    inputs="photographs",
    words=replace(ANY.words, stack="photograph", exam="the photograph"),
)

#: Name to record.
ANATOMIES = {anatomy.name: anatomy for anatomy in (HEART, KNEE, ANY, VOLUME, PHOTOGRAPH)}


def choose_anatomy(name: str, contrast: str | None = None) -> Anatomy:
    """The anatomy with this name, set to recognise the given contrast.

    Raises:
        InputError: there is no such anatomy, or it has no such contrast.
    """
    if name not in ANATOMIES:
        raise InputError(f"anatomy {name!r} is not known; choose one of {', '.join(ANATOMIES)}")
    anatomy = ANATOMIES[name]
    if contrast is None:
        return anatomy
    if contrast not in anatomy.contrasts:
        there = f"there are: {', '.join(anatomy.contrasts)}" if anatomy.contrasts else "leave --contrast out"
        raise InputError(f"contrast {contrast!r} is not known for anatomy {name!r}; {there}")
    return replace(anatomy, recognise=partial(anatomy.recognise, contrast=contrast))


def seen_from(anatomy: Anatomy, view: str | None) -> Anatomy:
    """The variant of an anatomy that learns from this view's stack; the anatomy itself if ``view`` is None.

    Raises:
        InputError: the anatomy does not learn from that view.
    """
    there = {other.stack: other for other in (*ANATOMIES.values(), HEART_4CH) if other.name == anatomy.name}
    if view is None or view == anatomy.stack:
        return anatomy
    if view not in there:
        raise InputError(f"view {view!r} is not known for anatomy {anatomy.name!r}; choose one of {', '.join(there)}")
    return replace(there[view], recognise=anatomy.recognise)


def anatomy_of_stack(stack: str) -> Anatomy | None:
    """The anatomy that learns from a stack of this name, ``"sax"``, ``"4ch"`` or ``"sagittal"``; None if there is none."""
    return next((anatomy for anatomy in (*ANATOMIES.values(), HEART_4CH) if anatomy.stack == stack), None)


def prepare(stacks: list[Stack], anatomy: Anatomy) -> list[Stack]:
    """Prepare an exam's stacks for recognition: if the organ does not move, keep one image per slice."""
    return stacks if anatomy.moving else [still(stack) for stack in stacks]
