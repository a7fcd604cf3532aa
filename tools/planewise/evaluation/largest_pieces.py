"""The largest connected piece of each label, looked for where labels are."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.transforms import KeepLargestConnectedComponentd, generate_spatial_bounding_box


class KeepLargestPiecesd(KeepLargestConnectedComponentd):
    """MONAI's `KeepLargestConnectedComponentd` inside the box that holds all labels, which of a heart is a small one.

    The result is the same. Takes its arguments, for labels ``(1, i, j, k)`` with 0 for the background.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            start, end = generate_spatial_bounding_box(item[key])
            box = (slice(None), *(slice(first, last) for first, last in zip(start, end, strict=True)))
            if all(end):
                item[key] = item[key].clone()
                item[key][box] = self.converter(item[key][box])
        return item
