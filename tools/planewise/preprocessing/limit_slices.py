"""Limit the number of slices, so that a large series fits into memory."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform


def evenly_spaced(count: int, most: int | None) -> list[int]:
    """Ranks of at most ``most`` of ``count`` slices, evenly spaced from the first to the last; None takes all."""
    if most is None or count <= most:
        return list(range(count))
    return np.linspace(0, count - 1, most).round().astype(int).tolist()


class LimitSlicesd(MapTransform):
    """Keep at most ``max_slices`` evenly spaced slices of a volume ``(C, i, j, slices)``.

    The ranks of the kept slices are written under ``kept_slices``. Use it only for networks that process a stack as a
    whole, because their output is not mapped back to the volume's grid. If ``max_slices`` is None, all slices are kept.
    """

    def __init__(self, keys: KeysCollection, max_slices: int | None = None, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.max_slices = max_slices

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            kept = evenly_spaced(item[key].shape[-1], self.max_slices)
            if len(kept) < item[key].shape[-1]:
                item[key] = item[key][..., kept]
            item["kept_slices"] = kept
        return item
