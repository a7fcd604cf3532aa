"""Resize images to a square and volumes to a cube."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.transforms import InvertibleTransform, MapTransform, Resize


class ResizeSidesd(MapTransform, InvertibleTransform):
    """Resize every spatial axis to the same number of pixels, linearly, with MONAI's `Resize` (Taleb 2020, appendix A).

    Images ``(channels, i, j)`` and volumes ``(channels, i, j, k)`` go through the same line of a config.

    Args:
        keys: keys of images.
        side: pixels along each axis.
        allow_missing_keys: skip keys that an item lacks.
    """

    def __init__(self, keys: KeysCollection, side: int, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        # by the number of axes
        self.resize = {2: Resize([side] * 2, mode="bilinear"), 3: Resize([side] * 3, mode="trilinear")}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = self.resize[item[key].ndim - 1](item[key])
        return item

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = self.resize[item[key].ndim - 1].inverse(item[key])
        return item
