"""Rotate images and volumes by multiples of 90 degrees, for a network to predict the rotation."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.transforms import RandomizableTrait, Transform
from torch import Tensor

from planewise.augmentation import own_draws
from planewise.data.to_device import to_device
from planewise.geometry import PLANE_ROTATIONS, VOLUME_ROTATIONS, rotate90


class RotationTargetsd(Transform, RandomizableTrait):
    """Rotate every image of a batch at random (Taleb 2020, section 3.4; for images Gidaris 2018).

    Volumes have ten classes of rotation: none, and 90, 180 and 270 degrees about each of the three axes. Images have
    four: 0, 90, 180 and 270 degrees. All classes are equally likely, and nothing is interpolated
    (`planewise.geometry.rotate90`).

    Reads ``image``, ``(B, C, i, j)``, or ``(B, C, i, j, k)`` for volumes. Writes

    - ``image``: the rotated image;
    - ``rotation``: the class (`planewise.geometry.rotation_of_class`), ``(B,)``, int64.

    Raises:
        ValueError: the sides of the image differ, so its rotations would have different shapes.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        image: Tensor = batch["image"]
        shape = tuple(image.shape[2:])
        if len(set(shape)) > 1:
            raise ValueError(f"all sides of images must be equal for rotations by 90 degrees, got shape {shape}")
        classes = PLANE_ROTATIONS if len(shape) == 2 else VOLUME_ROTATIONS
        rotation = (own_draws(len(image), 1, dtype=torch.float64)[:, 0] * classes).long().clamp(max=classes - 1)
        rotated = image
        for number in sorted(set(rotation.tolist()) - {0}):
            rows = to_device((rotation == number).nonzero()[:, 0], image.device)
            rotated = rotated.index_copy(0, rows, rotate90(image.index_select(0, rows), number))
        batch |= {"image": rotated, "rotation": to_device(rotation, image.device)}
        return batch
