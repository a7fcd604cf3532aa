"""What is looked for in an exam, per anatomy: all that the indexer knows of hearts and knees beside how to recognise them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from planewise.errors import InputError
from planewise.exams import cardiac, knee
from planewise.exams.stacks import still


class Anatomy(NamedTuple):
    """How an anatomy's exams are recognised."""

    stack: str
    """name of the stack that is learned from"""
    called: str
    """the same for people"""
    targets: tuple[str, ...]
    """views whose planes are targets"""
    views: tuple[str, ...]
    """every view that an exam may have"""
    recognise: Callable[..., dict]
    """stacks (and the index of the stack that a person chose) to what was found, as `cardiac.recognise` says"""
    axis: Callable[[dict], np.ndarray | None]
    """stack to the unit vector along which its slices are counted, RAS+; None where that is unknown"""
    unordered: str
    """what is said of a stack without such a vector"""
    moving: bool
    """whether the images of one slice are phases"""
    contrasts: tuple[str, ...] = ()
    """what ``--contrast`` may say, the default first"""


ANATOMIES = {
    "cardiac": Anatomy(
        stack="sax",
        called="short-axis",
        targets=("2ch", "4ch"),
        views=tuple(cardiac.VIEWS),
        recognise=cardiac.recognise,
        axis=cardiac.long_axis,
        unordered="base and apex cannot be told apart: no locations",
        moving=True,
    ),
    "knee": Anatomy(
        stack=knee.STACK,
        called="sagittal",
        targets=knee.VIEWS,
        views=knee.VIEWS,
        recognise=knee.recognise,
        axis=knee.right_to_left,
        unordered="right and left cannot be told apart: no locations",
        moving=False,
        contrasts=knee.CONTRASTS,
    ),
}


def choose_anatomy(name: str, contrast: str | None = None) -> Anatomy:
    """The anatomy of a name, recognising the given contrast.

    Raises:
        InputError: there is no such anatomy, or it has no such contrast.
    """
    if name not in ANATOMIES:
        raise InputError(f"anatomy {name!r} is not known; there are: {', '.join(ANATOMIES)}")
    anatomy = ANATOMIES[name]
    if contrast is None:
        return anatomy
    if contrast not in anatomy.contrasts:
        there = f"there are: {', '.join(anatomy.contrasts)}" if anatomy.contrasts else "leave --contrast out"
        raise InputError(f"contrast {contrast!r} is not known for anatomy {name!r}; {there}")
    return anatomy._replace(recognise=partial(anatomy.recognise, contrast=contrast))


def prepare(stacks: list[dict], anatomy: Anatomy) -> list[dict]:
    """An exam's stacks as the anatomy's are recognised: of organs that do not move, one image per slice."""
    return stacks if anatomy.moving else [still(stack) for stack in stacks]
