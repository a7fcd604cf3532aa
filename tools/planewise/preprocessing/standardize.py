"""Compute the z-score of each slice, and record the value of the background."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform


class StandardizeSliced(MapTransform):
    """Standardise each slice to mean 0 and standard deviation 1 (Zhang 2024, section 5.1.1), after cropping and padding.

    An image is ``(1, i, j, slices)``, and every slice is standardised separately. A slice with a single grey value
    becomes 0. The background, which was 0 before, gets another value; this value is written to ``<key>_padding``, shape
    ``(slices,)``. Random transforms fill areas outside the image with it.

    Raises:
        ValueError: an image has another shape.
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            image = item[key].to(torch.float32)
            if image.ndim != 4 or image.shape[0] != 1:
                raise ValueError(
                    f"{key} must be one channel of slices (1, i, j, slices), got shape {tuple(image.shape)}"
                )
            pixels = image.as_tensor() if isinstance(image, MetaTensor) else image
            mean = pixels.mean(dim=(0, 1, 2))
            deviation = pixels.std(dim=(0, 1, 2), correction=0)
            deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
            item[key] = (image - mean) / deviation
            item[f"{key}_padding"] = -mean / deviation
        return item
