"""Apply MONAI's dictionary transforms, which are for one image, to every image of a batch."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from itertools import groupby
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import Compose, MapTransform, Randomizable, RandomizableTrait, Transform
from torch import Tensor
from torch.utils.data import default_collate

from planewise.augmentation.draws import own_draws
from planewise.errors import InputError
from planewise.preprocessing.moved_alone import moved_alone, moves

#: MONAI's module of transforms that mix the images of a batch (`MixUpd`, `CutMixd`).
_MIXING = "monai.transforms.regularization."


class EachImaged(Transform, RandomizableTrait):
    """Apply a MONAI transform to each image of a batch in turn, so that each image has its own random numbers.

    Such a transform takes the entries of one item: ``image`` ``(C, i, j)`` or ``(C, i, j, k)``, masks of that shape, and the
    batch's other entries without their first axis. It may add and delete entries. Its random numbers are seeded by
    `own_draws`.

    Args:
        transform: a transform, or a `Compose` of transforms.

    Raises:
        InputError: the transform returns several samples of an image; or it moves images but not their masks under ``label``;
            or it moves images, and the batch has ``planes``. Their position in the image is computed from ``affine``, which
            MONAI would not update.
    """

    def __init__(self, transform: Callable[[dict[Hashable, Any]], Mapping[Hashable, Any]]) -> None:
        self.transform = transform

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        parts = list(_parts(self.transform))
        moving = [type(each).__name__ for each in parts if moves(each)]
        if moving and "planes" in data:
            raise InputError(
                f"train#augmentation: {moving[0]} moves the image but not the planes that are the targets; use planewise."
                "augmentation.RandAffineBatchd or RandFlipRotate90Batchd, which move both"
            )
        has_masks = isinstance(data.get("label"), Tensor) and data["label"].ndim == data["image"].ndim
        if has_masks and (alone := moved_alone(parts, ["label"])):
            raise InputError(
                f"train#augmentation: {alone} moves only one of image and label, so the masks would not fit the images; give "
                "it `keys: [image, label]`"
            )
        count = len(data["image"])
        rows = [key for key, value in data.items() if isinstance(value, Tensor) and value.ndim and len(value) == count]
        entries, items = {key: data[key] for key in rows}, []
        seeds = own_draws(count, draw=lambda *shape: torch.randint(2**31, shape))
        for index, seed in enumerate(seeds.tolist()):
            if isinstance(self.transform, Randomizable):
                self.transform.set_random_state(seed=seed)
            made = self.transform({key: value[index] for key, value in entries.items()})
            if not isinstance(made, Mapping):
                raise InputError(
                    f"train#augmentation: a transform returns a {type(made).__name__} for an image of the batch; use one "
                    "that returns one item, such as RandSpatialCropd"
                )
            items.append(made)
        device = data["image"].device
        return {key: value for key, value in data.items() if key not in entries} | {
            key: _stacked([item[key] for item in items], entries.get(key), device) for key in items[0]
        }


def whole_batches(transform: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The transform, with MONAI's dictionary transforms in it (also within a `Compose`) applied to each image of a batch.

    Other transforms stay as they are and take whole batches: those of other modules, and MONAI's `MixUpd` and `CutMixd`.

    Raises:
        InputError: a `OneOf`, `RandomOrder` or `SomeOf` has transforms of both kinds.
    """
    leaves = _leaves(transform)
    single = [type(leaf).__name__ for leaf in leaves if _takes_one_image(leaf)]
    if not single:
        return transform
    if len(single) == len(leaves):
        return EachImaged(transform)
    if type(transform) is not Compose:
        other = next(type(leaf).__name__ for leaf in leaves if not _takes_one_image(leaf))
        raise InputError(
            f"train#augmentation: {type(transform).__name__} combines {single[0]}, which takes one image, with {other}, "
            f"which takes a whole batch; wrap {single[0]} in planewise.augmentation.EachImaged"
        )
    parts: list[Callable[[Any], Any]] = []
    for one_image, run in groupby(transform.transforms, lambda part: all(map(_takes_one_image, _leaves(part)))):
        steps = list(run)
        parts += [EachImaged(Compose(steps))] if one_image else map(whole_batches, steps)
    return Compose(parts)


def _leaves(transform: Any) -> list[Any]:
    """The transforms in MONAI's `Compose`, `OneOf`, `RandomOrder` or `SomeOf`, or the transform itself."""
    if isinstance(transform, Compose) and type(transform).__module__.startswith("monai."):
        return [leaf for part in transform.transforms for leaf in _leaves(part)]
    return [transform]


def _takes_one_image(leaf: Any) -> bool:
    module = type(leaf).__module__
    return isinstance(leaf, MapTransform) and module.startswith("monai.") and not module.startswith(_MIXING)


def _parts(transform: Any) -> Iterator[Any]:
    """Yield a transform and, for a combination of transforms (`OneOf`, `SomeOf`), its parts."""
    yield transform
    for part in getattr(transform, "transforms", ()):
        yield from _parts(part)


def _stacked(values: list[Any], like: Tensor | None, device: torch.device) -> Any:
    """Stack the values of all items into one entry, with the dtype and device of the entry that it replaces (``like``). An
    entry that the batch lacked is only moved to ``device``."""
    stacked = default_collate([value.as_tensor() if isinstance(value, MetaTensor) else value for value in values])
    if like is not None:
        return stacked.to(like)
    return stacked.to(device) if isinstance(stacked, Tensor) else stacked
