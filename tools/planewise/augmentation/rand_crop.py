"""Crop the images of a batch at random positions, on the batch's device."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.transforms import RandomizableTrait, Transform
from torch import Tensor

from planewise.augmentation.draws import own_draws
from planewise.data.to_device import to_device


class RandCropBatchd(Transform, RandomizableTrait):
    """Crop a box from every image of a batch. All boxes have the same size, and each has its own random position.

    A batch contains ``image`` ``(B, C, i, j)`` or, for volumes, ``(B, C, i, j, k)``, masks, and, if targets need it,
    ``affine`` ``(B, 4, 4)``, which is updated to the position of the box.

    Args:
        size: size of the box along each axis, voxels.
        label_keys: masks to crop with the image; those that a batch lacks are skipped.

    Raises:
        ValueError: the box is larger than the images, or has another number of axes.
    """

    def __init__(self, size: Sequence[int], label_keys: Sequence[str] = ("label",)) -> None:
        self.size = tuple(int(side) for side in size)
        self.label_keys = tuple(label_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        image = batch["image"]
        shape = tuple(image.shape[2:])
        if len(shape) != len(self.size) or any(box > side for box, side in zip(self.size, shape, strict=True)):
            raise ValueError(f"the box must fit into images of shape {shape}, got a box of {self.size}")
        room = torch.tensor([side - box for box, side in zip(self.size, shape, strict=True)])
        draws = own_draws(len(image), len(shape), dtype=torch.float64)
        start = (draws * (room + 1)).long().minimum(room)
        corner = to_device(start, image.device)
        for key in ("image", *self.label_keys):
            if key in batch:
                batch[key] = boxes(batch[key], corner, self.size)
        if "affine" in batch:
            affine = batch["affine"].clone()
            offset = affine[:, :3, : len(shape)] @ corner.to(affine.dtype)[..., None]
            affine[:, :3, 3] += offset[..., 0]
            batch["affine"] = affine
        return batch


def boxes(images: Tensor, corner: Tensor, size: Sequence[int]) -> Tensor:
    """Crop one box from every image, all in one step.

    Args:
        images: ``(B, C, i, j)`` or ``(B, C, i, j, k)``.
        corner: first voxel of each box, ``(B, axes)`` int64, on the same device.
        size: size of the boxes along each axis, voxels.
    """
    for axis, side in enumerate(size):
        at = corner[:, axis, None] + torch.arange(side, device=corner.device)
        index = at.reshape(len(images), *[1] * (axis + 1), side, *[1] * (len(size) - axis - 1))
        images = images.gather(axis + 2, index.expand(*images.shape[: axis + 2], side, *images.shape[axis + 3 :]))
    return images
