"""Apply MONAI's dictionary transforms to every image of a batch, with numbers that do not depend on the processes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

import ignite.distributed as idist
import torch
from monai.data import MetaTensor
from monai.transforms import (
    Compose,
    MapTransform,
    Randomizable,
    RandomizableTrait,
    RandSimulateLowResolutiond,
    Transform,
)
from torch import Tensor
from torch.utils.data import default_collate

from planewise.errors import InputError


def own_draws(count: int, *shape: int, draw: Callable[..., Tensor] = torch.rand, **options: Any) -> Tensor:
    """Draw random numbers for each sample of this process's batch.

    Processes share a seed, and the samples of an epoch are assigned to them in turns (`planewise.data.samplers`).
    Each of N processes therefore draws the numbers for the batches of all processes and takes every N-th row, so that a
    sample gets the same numbers as in a single process with one large batch.

    Args:
        count: number of samples in this process's batch.
        shape: shape of one sample's numbers.
        draw: `torch.rand`, `torch.randn`, or another function that takes a shape. These functions draw from the global
            generator of the device, which is seeded in each iteration (`planewise.engines.SeedHandler`).
        options: options of ``draw``, such as ``dtype`` and ``device``.

    Returns:
        ``(count, *shape)``.
    """
    rank, processes = idist.get_rank(), idist.get_world_size()
    return draw(processes * count, *shape, **options)[rank::processes]


#: MONAI's module of transforms that mix the images of a batch (`MixUpd`, `CutMixd`), and those that move images.
_MIXING = "monai.transforms.regularization."
_MOVING = ("monai.transforms.spatial.", "monai.transforms.croppad.")


class EachImaged(Transform, RandomizableTrait):
    """Apply a MONAI transform to each image of a batch in turn, so that each image has its own random numbers.

    Such a transform takes the entries of one item: ``image`` ``(C, i, j)`` or ``(C, i, j, k)``, masks of that shape, and the
    batch's other entries without their first axis. It may add and delete entries. `own_draws` seeds its random numbers.

    Args:
        transform: a transform, or a `Compose` of transforms.

    Raises:
        InputError: the transform moves images but not their masks under ``label``, or not the ``planes`` of the batch, whose
            position in the image is computed from ``affine``, which MONAI would not update.
    """

    def __init__(self, transform: Callable[[dict[Hashable, Any]], Mapping[Hashable, Any]]) -> None:
        self.transform = transform

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        count = len(data["image"])
        entries = {
            key: value
            for key, value in data.items()
            if isinstance(value, Tensor) and value.ndim and len(value) == count
        }
        fixed = {key for key in ("label", "planes") if key in entries and entries[key].ndim > 3}
        for part in _parts(self.transform):
            moves = type(part).__module__.startswith(_MOVING) and not isinstance(part, RandSimulateLowResolutiond)
            if moves and (left := sorted(fixed - set(part.keys))):
                raise InputError(
                    f"train#augmentation: {type(part).__name__} moves the image but not its {left[0]}; name both in its "
                    "keys, or use planewise.augmentation.RandAffineBatchd, which moves planes, too"
                )
        items = []
        seeds = own_draws(count, draw=lambda *shape: torch.randint(2**31, shape))
        for index, seed in enumerate(seeds.tolist()):
            if isinstance(self.transform, Randomizable):
                self.transform.set_random_state(seed=seed)
            items.append(self.transform({key: value[index] for key, value in entries.items()}))
        device = data["image"].device
        return {key: value for key, value in data.items() if key not in entries} | {
            key: _stacked([item[key] for item in items], entries.get(key), device) for key in items[0]
        }


def whole_batches(transform: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The transform, with MONAI's dictionary transforms in it (also within a `Compose`) applied to each image of a batch.

    Other transforms stay as they are and take whole batches: those of other modules, and MONAI's `MixUpd` and `CutMixd`. A
    `OneOf`, `RandomOrder` or `SomeOf` with such transforms also gets whole batches; wrap others in it in `EachImaged`.
    """
    if type(transform) is Compose:
        parts = [whole_batches(part) for part in transform.transforms]
        return transform if parts == list(transform.transforms) else Compose(parts)
    return EachImaged(transform) if all(map(_takes_one_image, _parts(transform))) else transform


def _takes_one_image(part: Any) -> bool:
    module = type(part).__module__
    one = isinstance(part, (MapTransform, Compose)) and not module.startswith(_MIXING)
    return one and module.startswith("monai.")


def _parts(transform: Any) -> Iterator[Any]:
    """Yield a transform and, for a combination of transforms (`OneOf`, `SomeOf`), its parts."""
    yield transform
    for part in getattr(transform, "transforms", ()):
        yield from _parts(part)


def _stacked(values: list[Any], like: Tensor | None, device: torch.device) -> Any:
    """Stack the values of all items, with dtype and device of the entry that they replace (``like``), if any."""
    stacked = default_collate([value.as_tensor() if isinstance(value, MetaTensor) else value for value in values])
    if like is not None:
        return stacked.to(like)
    return stacked.to(device) if isinstance(stacked, Tensor) else stacked
