"""The largest connected piece of each label, searched only near labels."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.transforms import KeepLargestConnectedComponentd, generate_spatial_bounding_box


class KeepLargestPiecesd(KeepLargestConnectedComponentd):
    """Apply MONAI's `KeepLargestConnectedComponentd` inside the bounding box of all labels, which is small for a heart.

    The result and the arguments are the same, for labels ``(1, i, j, k)`` with 0 for the background.
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
