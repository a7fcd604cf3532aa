"""Batches of photographs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from planewise.data.slice_cache import SliceCache
from planewise.data.slice_dataset import SliceDataset
from planewise.preprocessing.exam_name import exam_of


class PhotographCache(SliceCache):
    """A `SliceCache` whose items are photographs, ``(channels, i, j)``, stored as float16, one row for each."""

    noun, shape, loader = "photograph", "(channels, i, j)", "LoadPhotographd"
    # decoding a photograph of some megapixels costs as much as preprocessing ten slices
    items_per_worker = 4

    @staticmethod
    def row_of(array: np.ndarray) -> np.ndarray | None:
        return array if array.ndim == 3 else None


class PhotographDataset(SliceDataset):
    """Preprocessed photographs, read in whole batches: a `SliceDataset` of colour images.

    A batch is a dictionary of tensors: ``image`` ``(B, 3, i, j)`` float32, ``affine`` ``(B, 4, 4)`` float64,
    ``image_padding`` ``(B, 3)``, the targets, and ``index`` ``(B,)`` into `items`; all on one device.

    The arguments are those of `SliceDataset`; ``transform`` must begin with `LoadPhotographd`.
    """

    cache_class = PhotographCache

    @staticmethod
    def cases(data: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return [dict(item, exam=exam_of(item)) for item in data]
