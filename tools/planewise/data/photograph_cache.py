"""Preprocessed photographs in memory-mapped arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from planewise.data.slice_cache import SliceCache
from planewise.errors import InputError


class PhotographCache(SliceCache):
    """A `SliceCache` whose items are photographs, ``(channels, i, j)``, stored as float16, one row for each."""

    noun = "photograph"
    # decoding some megapixels costs as much as ten slices
    items_per_worker = 4
    module = __name__

    @staticmethod
    def stored(result: dict[str, Any], label_keys: Sequence[str]) -> dict[str, np.ndarray]:
        stored = {name: np.asarray(value) for name, value in result.items() if isinstance(value, torch.Tensor)}
        if stored["image"].ndim != 3:
            raise InputError(
                f"exam {result.get('exam', '?')}: image has shape {stored['image'].shape} after preprocessing; it must"
                " be a photograph (channels, i, j); begin the preprocessing with LoadPhotographd"
            )
        stored["image"] = stored["image"].astype(np.float16)
        stored["affine"] = np.asarray(result["image"].affine, dtype=np.float64)
        return stored
