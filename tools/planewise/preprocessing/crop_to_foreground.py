"""Crop empty space around a body."""

from __future__ import annotations

import operator
from collections.abc import Hashable, Mapping
from functools import partial
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import CropForegroundd

from planewise.errors import InputError
from planewise.old_names import old_arguments


class CropToForegroundd(CropForegroundd):
    """Crop to the bounding box of all voxels that are above a threshold in any channel (Taleb 2020, appendix A).

    In a photograph of a retina, the box contains the round field of view. Like MONAI's `CropForegroundd`, the transform
    is invertible, so that a prediction can be mapped back to the image's own grid.

    Args:
        keys: images and masks to crop, ``(channels, i, j, k)`` or ``(channels, i, j)``; ``image`` determines the box.
        threshold: the threshold, for intensities scaled to [0, 1].
        allow_missing_keys: skip keys that an item lacks.

    Raises:
        InputError: no voxel is above the threshold.
    """

    @old_arguments
    def __init__(
        self,
        keys: KeysCollection,
        threshold: float = 0.05,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(
            keys, "image", select_fn=partial(operator.lt, float(threshold)), allow_missing_keys=allow_missing_keys
        )
        self.threshold = float(threshold)

    def __call__(self, data: Mapping[Hashable, Any], lazy: bool | None = None) -> dict[Hashable, Any]:
        if not bool((torch.as_tensor(data[self.source_key]) > self.threshold).any()):
            raise InputError(f"the foreground is empty: no voxel is above {self.threshold:g}; leave the image out")
        return super().__call__(data, lazy)
