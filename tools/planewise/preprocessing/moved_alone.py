"""Find MONAI's transforms that move an image and leave its mask where it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from monai.transforms import (
    BoundingRectd,
    MapTransform,
    Randomizable,
    RandSimulateLowResolutiond,
    ResampleToMatchd,
)

#: MONAI's modules of transforms that move, crop or pad an image, and the transforms in them that do not.
_MOVING = ("monai.transforms.spatial.", "monai.transforms.croppad.")
_STAYING = (BoundingRectd, RandSimulateLowResolutiond)


def moves(step: Any) -> bool:
    """Whether a transform is one of MONAI's that move, crop or pad an image, or is derived from one."""
    return not isinstance(step, _STAYING) and any(base.__module__.startswith(_MOVING) for base in type(step).__mro__)


def moved_alone(steps: Iterable[Any], masks: Sequence[str]) -> str | None:
    """The name of the first transform after which an image and its mask no longer match; None if there is none.

    Two transforms of the same class may move image and mask, such as with different interpolation, unless they are random. A
    mask may also be resampled to its image's grid (`ResampleToMatchd`).

    Args:
        steps: dictionary transforms, in order.
        masks: keys of the masks.
    """
    steps = [step for step in steps if isinstance(step, MapTransform) and moves(step)]
    for mask in masks:
        odd: Counter[str] = Counter()
        for step in steps:
            keys = step.keys
            if ("image" in keys) == (mask in keys):
                continue
            name = type(step).__name__
            if isinstance(step, Randomizable):
                return name
            odd[name] += 1 if "image" in keys else -1
            if isinstance(step, ResampleToMatchd):
                odd.clear()
        if unmatched := next((name for name, number in odd.items() if number), None):
            return unmatched
    return None
