"""Apply MONAI's dictionary transforms, which are for one image, to every image of a batch."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import Compose, MapTransform, Randomizable, RandomizableTrait, Transform
from torch import Tensor

from planewise.augmentation.draws import own_draws
from planewise.errors import InputError

#: MONAI's modules of transforms that move, crop or pad an image.
_MOVING = ("monai.transforms.spatial.", "monai.transforms.croppad.")


class EachImaged(Transform, RandomizableTrait):
    """Apply a transform of MONAI to one image of a batch after the other, so that each image has its own random numbers.

    Such a transform takes the entries of one item: ``image`` ``(C, i, j)`` or ``(C, i, j, k)``, masks of that shape, and the
    batch's other entries without their first axis. Applied to the whole batch, it would take the batch for channels. Its
    random numbers are seeded from torch's global generator on the CPU (`own_draws`).

    Args:
        transform: a transform, or a `Compose` of transforms.

    Raises:
        InputError: the transform moves the images of a batch with ``planes``, whose position in the image a pretext computes
            from ``affine``. MONAI would not move this affine with the image.
    """

    def __init__(self, transform: Callable[[dict[Hashable, Any]], Mapping[Hashable, Any]]) -> None:
        self.transform = transform

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        moving = [type(each).__name__ for each in _parts(self.transform) if type(each).__module__.startswith(_MOVING)]
        if moving and "planes" in data:
            raise InputError(
                f"train#augmentation: {moving[0]} moves the image but not the planes that are the targets; use planewise."
                "augmentation.RandAffineBatchd or RandFlipRotate90Batchd, which move both"
            )
        count = len(data["image"])
        entries = {key: value for key, value in data.items() if isinstance(value, Tensor) and len(value) == count}
        items = []
        for index, seed in enumerate(own_draws(count, draw=_seeds).tolist()):
            if isinstance(self.transform, Randomizable):
                self.transform.set_random_state(seed=seed)
            items.append(self.transform({key: value[index] for key, value in entries.items()}))
        return dict(data) | {key: _stacked([item[key] for item in items], value) for key, value in entries.items()}


def whole_batches(transform: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The transform, with MONAI's dictionary transforms in it (also within a `Compose`) applied to each image of a batch.

    Transforms of other modules stay as they are: they take whole batches.
    """
    if type(transform) is Compose:
        parts = [whole_batches(each) for each in transform.transforms]
        return transform if parts == list(transform.transforms) else Compose(parts)
    of_monai = all(
        isinstance(part, (MapTransform, Compose)) and type(part).__module__.startswith("monai.")
        for part in _parts(transform)
    )
    return EachImaged(transform) if of_monai else transform


def _parts(transform: Any) -> Iterator[Any]:
    """A transform, and those of which it consists (`OneOf`, `SomeOf`)."""
    yield transform
    for part in getattr(transform, "transforms", ()):
        yield from _parts(part)


def _seeds(*shape: int) -> Tensor:
    return torch.randint(2**31, shape)


def _stacked(values: list[Any], like: Tensor) -> Tensor:
    """One tensor of the values of all items, of the type and on the device of the batch's entry."""
    plain = [value.as_tensor() if isinstance(value, MetaTensor) else torch.as_tensor(value) for value in values]
    return torch.stack(plain).to(like)
