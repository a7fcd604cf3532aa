"""Preprocessed volumes in memory-mapped arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from planewise.data.slice_cache import SliceCache
from planewise.errors import InputError


class VolumeCache(SliceCache):
    """A `SliceCache` of whole volumes, ``(channels, i, j, k)``, stored as float16, masks as uint8, one row for each
    case."""

    noun = "volume"
    # a volume costs as much as a hundred slices
    items_per_worker = 2
    module = __name__

    @staticmethod
    def stored(result: dict[str, Any], label_keys: Sequence[str]) -> dict[str, np.ndarray]:
        stored = {}
        for name, value in result.items():
            if not isinstance(value, torch.Tensor):
                continue
            array = np.asarray(value)
            if array.ndim == 4 and min(array.shape[1:]) > 1:
                stored[name] = array.astype(np.uint8 if name in label_keys else np.float16)
            elif array.ndim > 3 or name in ("image", *label_keys):
                raise InputError(
                    f"exam {result.get('exam', '?')}: {name} has shape {array.shape} after preprocessing; it must be a "
                    "volume (channels, i, j, k); begin the preprocessing with LoadVolumed"
                )
            else:
                stored[name] = array
        stored["affine"] = np.asarray(result["image"].affine, dtype=np.float64)
        return stored
