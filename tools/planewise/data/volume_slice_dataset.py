"""Batches of slices cut from preprocessed volumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.transforms import Compose

from planewise.data.photograph_dataset import PhotographDataset
from planewise.data.slice_dataset import SliceDataset
from planewise.data.to_device import to_device
from planewise.data.volume_dataset import VolumeDataset
from planewise.errors import InputError
from planewise.exams.photographs import is_photograph
from planewise.preprocessing import LoadSliced


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
