"""Crop empty space around a body, and resize images to squares and volumes to cubes of one orientation."""

from __future__ import annotations

import operator
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import (
    CropForegroundd,
    InvertibleTransform,
    MapTransform,
    Orientation,
    Resize,
    ResizeWithPadOrCrop,
    Spacing,
)

from planewise.errors import InputError

#: The two directions of each axis, as nibabel and MONAI name them: L is toward the patient's left.
_DIRECTIONS = (("L", "R"), ("P", "A"), ("I", "S"))


class ResizeSidesd(MapTransform, InvertibleTransform):
    """Give all volumes one orientation, and all spatial axes the same number of pixels, with MONAI's transforms.

    An image is resized (Taleb 2020, appendix A), or, if ``voxel_size`` is given, resampled to voxels of this size and then
    padded with 0 (see `ScaleToUnitd`) or cropped around its middle. Images are interpolated linearly, masks by nearest
    neighbour. The inverse gives results the orientation of the file.

    Args:
        keys: keys of images ``(channels, i, j)`` or volumes ``(channels, i, j, k)``, and of masks.
        side: pixels along each axis.
        voxel_size: side of a voxel after resampling, mm; None resizes instead of resampling.
        label_keys: keys of masks.
        allow_missing_keys: skip keys that an item lacks.
        axcodes: directions of a volume's axes, such as LPS (BraTS) or RAS (Medical Segmentation Decathlon), by permuting and
            flipping them; None, and a file that does not state its orientation (``oriented: False``), keeps them.
    """

    def __init__(
        self,
        keys: KeysCollection,
        side: int,
        voxel_size: float | None = None,
        label_keys: Sequence[str] = ("label",),
        allow_missing_keys: bool = False,
        axcodes: str | None = None,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label_keys = tuple(label_keys)
        #: maps the number of axes, and whether the image is a mask, to successive transforms
        self.steps: dict[tuple[int, bool], list[Any]] = {}
        for axes, mask in product((2, 3), (False, True)):
            if voxel_size is None:
                # MONAI's "nearest" would move masks against their images by up to half a resized pixel
                # (findings/monai_resize_nearest.sh)
                mode = "nearest-exact" if mask else ("bilinear", "trilinear")[axes - 2]
                steps: list[Any] = [Resize([side] * axes, mode=mode)]
            else:
                mode = "nearest" if mask else "bilinear"
                steps = [Spacing([voxel_size] * axes, mode=mode), ResizeWithPadOrCrop([side] * axes)]
            turn = [Orientation(axcodes, labels=_DIRECTIONS)] if axes == 3 and axcodes is not None else []
            self.steps[axes, mask] = [*turn, *steps]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            for step in self.steps[item[key].ndim - 1, key in self.label_keys]:
                if not (isinstance(step, Orientation) and item[key].meta.get("oriented") is False):
                    item[key] = step(item[key])
        return item

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            for step in reversed(self.steps[item[key].ndim - 1, key in self.label_keys]):
                # the metadata of a batch may lack what only some of its volumes have
                last = item[key].applied_operations[-1:]
                if not isinstance(step, Orientation) or (last and last[0]["class"] == Orientation.__name__):
                    item[key] = step.inverse(item[key])
        return item


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

    def __init__(self, keys: KeysCollection, threshold: float = 0.05, allow_missing_keys: bool = False) -> None:
        self.threshold = float(threshold)
        above = partial(operator.lt, self.threshold)
        super().__init__(keys, "image", select_fn=above, allow_missing_keys=allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any], lazy: bool | None = None) -> dict[Hashable, Any]:
        if not bool((torch.as_tensor(data[self.source_key]) > self.threshold).any()):
            raise InputError(f"the foreground is empty: no voxel is above {self.threshold:g}; leave the image out")
        return super().__call__(data, lazy)
