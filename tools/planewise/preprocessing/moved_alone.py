"""Find MONAI's transforms that move an image and leave its mask where it was."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from monai.transforms import (
    BoundingRectd,
    Flipd,
    MapTransform,
    Orientationd,
    Randomizable,
    RandSimulateLowResolutiond,
    ResampleToMatchd,
    Resized,
    Rotate90d,
    Spacingd,
    Zoomd,
)

#: MONAI's modules of transforms that move, crop or pad an image, and the transforms in them that do not.
_BORDERS = "monai.transforms.croppad."
_MOVING = ("monai.transforms.spatial.", _BORDERS)
_STAYING = (BoundingRectd, RandSimulateLowResolutiond)
#: Kinds of transforms: one of a kind may do the same as another of its kind, but not the same as one of another kind. The
#: transforms of croppad are a third kind; all others, such as ``Affined``, may do the same as any.
_AXES, _SIZE = (Flipd, Orientationd, Rotate90d), (Resized, Spacingd, Zoomd)


def moves(step: Any) -> bool:
    """Whether a transform is one of MONAI's that move, crop or pad an image, or is derived from one."""
    return not isinstance(step, _STAYING) and any(base.__module__.startswith(_MOVING) for base in type(step).__mro__)


def _kind(step: Any) -> str:
    if isinstance(step, _AXES):
        return "axes"
    if isinstance(step, _SIZE):
        return "size"
    return "borders" if any(base.__module__.startswith(_BORDERS) for base in type(step).__mro__) else "any"


def moved_alone(steps: Iterable[Any], masks: Sequence[str]) -> str | None:
    """The name of the first transform after which an image and its mask surely do not match; None if there is none.

    A random transform must move both. Others may move them one by one, such as with different interpolation, if both are
    moved by transforms of the same kind. Two of one kind may cancel each other. A mask may also be resampled to its image's
    grid (`ResampleToMatchd`).

    Args:
        steps: dictionary transforms, in order.
        masks: keys of the masks.
    """
    steps = [step for step in steps if isinstance(step, MapTransform) and moves(step)]
    for mask in masks:
        alone: dict[str, tuple[list[str], list[str]]] = {}
        for step in steps:
            keys = step.keys
            if ("image" in keys) == (mask in keys):
                continue
            name = type(step).__name__
            if isinstance(step, Randomizable):
                return name
            alone.setdefault(_kind(step), ([], []))[mask in keys].append(name)
            if isinstance(step, ResampleToMatchd):
                alone.clear()
        if "any" in alone and len(alone) > 1:
            continue
        for of_image, of_mask in alone.values():
            names = of_image or of_mask
            if not (of_image and of_mask) and len(names) % 2:
                return names[0]
    return None
