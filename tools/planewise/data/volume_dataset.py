"""Batches of volumes, and of slices cut from them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose

from planewise.data.datalist import gather_stacks
from planewise.data.photographs import PhotographDataset
from planewise.data.slice_cache import SliceCache
from planewise.data.slice_dataset import SliceDataset
from planewise.data.to_device import to_device
from planewise.errors import InputError
from planewise.files.datalists import VIEWER
from planewise.files.photographs import is_photograph
from planewise.preprocessing import LoadSliced

logger = logging.getLogger(__name__)


class VolumeCache(SliceCache):
    """A `SliceCache` of whole volumes, ``(channels, i, j, k)``, stored as float16, masks as uint8, one row for each
    case."""

    noun, shape, loader = "volume", "(channels, i, j, k)", "LoadVolumed"
    # preprocessing a volume costs as much as preprocessing a hundred slices
    items_per_worker = 2

    @staticmethod
    def row_of(array: np.ndarray) -> np.ndarray | None:
        return array if array.ndim == 4 and min(array.shape[1:]) > 1 else None


class VolumeDataset(SliceDataset):
    """Preprocessed volumes, read in whole batches: a `SliceDataset` of whole cases.

    A batch is a dictionary of tensors: ``image`` ``(B, channels, i, j, k)`` float32, masks ``(B, 1, i, j, k)`` float32,
    ``affine`` ``(B, 4, 4)`` float64, ``image_padding`` ``(B, channels)``, the targets, and ``index`` ``(B,)`` into
    `items`; all on one device.

    If the items are slices, as in the datalists of hearts, knees and any organ, the slices of a stack become one volume
    (`gather_stacks`). Items without ``exam`` come from MONAI Label instead of a datalist, so their masks may use MONAI
    Label's numbers. The arguments are those of `SliceDataset`; ``transform`` must begin with `LoadVolumed`.
    """

    cache_class = VolumeCache

    @staticmethod
    def cases(data: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return gather_stacks([item if "exam" in item else {**item, "label_origin": VIEWER} for item in data])


def volumes_or_slices(
    data: Sequence[dict[str, Any]],
    transform: Callable[[dict[str, Any]], dict[str, Any]],
    spatial_dims: int = 3,
    **options: Any,
) -> SliceDataset:
    """Make the dataset that suits the network and the data.

    A network for volumes needs a `VolumeDataset`. For a network for images, the result is a `VolumeSliceDataset` of
    volumes or a `PhotographDataset` of photographs. If the transform loads slices, the result is a `SliceDataset`.

    Args:
        data, transform, options: see these classes.
        spatial_dims: 3 for a network for volumes, 2 for a network for images.

    Raises:
        InputError: there are photographs, and the network takes volumes or slices.
    """
    steps = transform.flatten().transforms if isinstance(transform, Compose) else [transform]
    slices = any(isinstance(step, LoadSliced) for step in steps)
    photographs = any(isinstance(item.get("image"), (str, Path)) and is_photograph(item["image"]) for item in data)
    if photographs and (slices or spatial_dims == 3):
        raise InputError(
            f"the datalist contains photographs, but this network takes {'slices' if slices else 'volumes'}; add "
            "configs/photograph.yaml after the other configs"
        )
    if slices:
        return SliceDataset(data, transform, **options)
    if photographs:
        return PhotographDataset(data, transform, **options)
    return (VolumeDataset if spatial_dims == 3 else VolumeSliceDataset)(data, transform, **options)


class VolumeSliceDataset(VolumeDataset):
    """The slices across the third axis of a `VolumeDataset`'s volumes, for the 2D form of a method for volumes.

    The preprocessing and the cache are those of the volumes, so both forms see the same voxels. A batch contains
    ``image`` ``(B, channels, i, j)``, masks ``(B, 1, i, j)`` and each slice's own ``affine`` ``(B, 4, 4)``; `items` has
    one item for each slice, with its number under ``slice``. The arguments are those of `VolumeDataset`.
    """

    def __init__(
        self, data: Sequence[dict[str, Any]], transform: Callable[[dict[str, Any]], dict[str, Any]], **options: Any
    ) -> None:
        super().__init__(data, transform, **options)
        self._depth = self._arrays.rows(self._rows[:1])["image"].shape[-1] if self.items else 0
        self.items = [{**item, "slice": number} for item in self.items for number in range(self._depth)]

    def __getitems__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        index = torch.as_tensor(indices, dtype=torch.long)
        batch = self._arrays.rows(self._rows[index // self._depth])
        number = to_device(index % self._depth, self._arrays.device)
        for name, value in batch.items():
            if value.ndim == 5:
                batch[name] = value.take_along_dim(number.reshape(-1, 1, 1, 1, 1), dim=4)[..., 0]
        affine = batch["affine"].clone()
        affine[:, :3, 3] += number[:, None] * affine[:, :3, 2]
        return batch | {"affine": affine, "index": to_device(index, self._arrays.device)}
