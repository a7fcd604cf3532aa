"""Batches of volumes, of slices cut from them, and of photographs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.transforms import Compose

from planewise.data.datalist import gather_stacks
from planewise.data.slice_cache import PHOTOGRAPH, VOLUME
from planewise.data.slice_dataset import SliceDataset
from planewise.data.to_device import to_device
from planewise.errors import InputError
from planewise.files.datalists import VIEWER
from planewise.files.photographs import is_photograph
from planewise.preprocessing import LoadSliced
from planewise.preprocessing.exam_name import exam_of


class PhotographDataset(SliceDataset):
    """A `SliceDataset` of photographs, ``image`` ``(B, 3, i, j)`` and ``image_padding`` ``(B, 3)``; ``transform`` must
    begin with `LoadPhotographd`."""

    kind = PHOTOGRAPH

    @staticmethod
    def cases(data: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return [dict(item, exam=exam_of(item)) for item in data]


class VolumeDataset(SliceDataset):
    """A `SliceDataset` of whole volumes: ``image`` ``(B, channels, i, j, k)``, masks ``(B, 1, i, j, k)`` and
    ``image_padding`` ``(B, channels)``; ``transform`` must begin with `LoadVolumed`.

    If the items are slices, as in the datalists of hearts, knees and any organ, the slices of a stack become one volume
    (`gather_stacks`). Items without ``exam`` come from MONAI Label instead of a datalist, so their masks may use MONAI
    Label's numbers.
    """

    kind = VOLUME

    @staticmethod
    def cases(data: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return gather_stacks([item if "exam" in item else {**item, "label_origin": VIEWER} for item in data])


class VolumeSliceDataset(VolumeDataset):
    """The slices across the third axis of a `VolumeDataset`'s volumes, for the 2D form of a method for volumes.

    The preprocessing and the cache are those of the volumes, so both forms see the same voxels. A batch contains
    ``image`` ``(B, channels, i, j)``, masks ``(B, 1, i, j)`` and each slice's own ``affine`` ``(B, 4, 4)``; `items` has
    one item for each slice, with its number under ``slice``.
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
    kind = SliceDataset if slices else PhotographDataset if photographs else VolumeDataset
    return (VolumeSliceDataset if kind is VolumeDataset and spatial_dims == 2 else kind)(data, transform, **options)
