"""Batches of volumes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from planewise.data.datalist import gather_stacks
from planewise.data.slice_cache import SliceCache
from planewise.data.slice_dataset import SliceDataset
from planewise.exams.reserved import VIEWER
from planewise.exams.words import some_of
from planewise.preprocessing.exam_name import exam_of

logger = logging.getLogger(__name__)


class VolumeCache(SliceCache):
    """A `SliceCache` of whole volumes, ``(channels, i, j, k)``, stored as float16, masks as uint8, one row for each
    case. The log names the cases with an empty mask."""

    noun, shape, loader = "volume", "(channels, i, j, k)", "LoadVolumed"
    # preprocessing a volume costs as much as preprocessing a hundred slices
    items_per_worker = 2

    def _open(self) -> dict[str, int]:
        refused = super()._open()
        for key in self.arrays.keys() & set(self.label_keys):
            empty = [exam_of(self.items[row]) for row in self.kept if not self.arrays[key][row].any()]
            if empty:
                logger.warning(
                    "%d of %d volumes have an empty mask after preprocessing, so a network learns only background from "
                    "them: exam %s; remove such a mask from the datalist if it is a mistake",
                    len(empty),
                    len(self.kept),
                    some_of(empty),
                )
        return refused

    @staticmethod
    def row_of(array: np.ndarray) -> np.ndarray | None:
        return array if array.ndim == 4 and min(array.shape[1:]) > 1 else None


class VolumeDataset(SliceDataset):
    """Preprocessed volumes, read in whole batches: a `SliceDataset` of whole cases.

    A batch is a dictionary of tensors: ``image`` ``(B, channels, i, j, k)`` float32, masks ``(B, 1, i, j, k)`` float32,
    ``affine`` ``(B, 4, 4)`` float64, ``image_padding`` ``(B, channels)``, the targets, and ``index`` ``(B,)`` into
    `items`; all on one device.

    If the items are slices, as in the datalists of hearts, knees and any organ, the slices of a stack become one volume
    (`gather_stacks`). Items without ``exam`` come from MONAI Label instead of a datalist, so their masks may use MONAI
    Label's numbers. The arguments are those of `SliceDataset`; ``transform`` must begin with `LoadVolumed`.
    """

    cache_class = VolumeCache

    @staticmethod
    def cases(data: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return gather_stacks([item if "exam" in item else {**item, "label_origin": VIEWER} for item in data])
