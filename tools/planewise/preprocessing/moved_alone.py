"""Find MONAI's transforms that move an image and leave its mask where it was."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from monai.transforms import BoundingRectd, MapTransform, Randomizable, RandSimulateLowResolutiond, ResampleToMatchd

#: MONAI's modules of transforms that move, crop or pad an image, and the transforms in them that do not.
_MOVING = ("monai.transforms.spatial.", "monai.transforms.croppad.")
_STAYING = (BoundingRectd, RandSimulateLowResolutiond)


def moves(step: Any) -> bool:
    """Whether a transform is one of MONAI's that move, crop or pad an image, or is derived from one."""
    return not isinstance(step, _STAYING) and any(base.__module__.startswith(_MOVING) for base in type(step).__mro__)


def moved_alone(steps: Iterable[Any], masks: Sequence[str]) -> str | None:
    """The name of the first transform after which an image and its mask do not match; None if there is none.

    A random transform must move both. Others may move them one by one, such as with different interpolation. A mask may also
    be resampled to its image's grid (`ResampleToMatchd`).
    """
    steps = [step for step in steps if isinstance(step, MapTransform) and moves(step)]
    for mask in masks:
        alone: dict[bool, list[str]] = {True: [], False: []}
        for step in steps:
            if ("image" in step.keys) == (mask in step.keys):
                continue
            if isinstance(step, Randomizable):
                return type(step).__name__
            alone[mask in step.keys].append(type(step).__name__)
            if isinstance(step, ResampleToMatchd):
                alone = {True: [], False: []}
        if bool(alone[True]) != bool(alone[False]):
            return (alone[True] or alone[False])[0]
    return None
