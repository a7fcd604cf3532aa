"""Find MONAI's transforms that move an image and leave its mask where it was."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from monai.transforms import BoundingRectd, MapTransform, RandSimulateLowResolutiond, ResampleToMatchd

#: MONAI's modules of transforms that move, crop or pad an image, and the transforms in them that do not.
_MOVING = ("monai.transforms.spatial.", "monai.transforms.croppad.")
_STAYING = (BoundingRectd, RandSimulateLowResolutiond)


def moves(step: Any) -> bool:
    """Whether a transform is one of MONAI's that move, crop or pad an image, or is derived from one."""
    return not isinstance(step, _STAYING) and any(base.__module__.startswith(_MOVING) for base in type(step).__mro__)


def moved_alone(steps: Iterable[Any], masks: Sequence[str]) -> str | None:
    """The name of the first transform that moves an image or a mask without the other; None if there is none. A mask may be
    resampled to its image's grid (`ResampleToMatchd`)."""
    for step in steps:
        if not isinstance(step, MapTransform) or not moves(step) or isinstance(step, ResampleToMatchd):
            continue
        if any(("image" in step.keys) != (mask in step.keys) for mask in masks):
            return type(step).__name__
    return None
