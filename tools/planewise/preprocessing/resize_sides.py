"""Crop empty space around a body, and resize images to squares and volumes to cubes of one orientation."""

from __future__ import annotations

import operator
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
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

#: Interpolation of images (False) and masks (True).
_SPACING_MODES = {False: "bilinear", True: "nearest"}
#: MONAI's `Resize` has a different name for each number of axes. Its "nearest" would move masks against their images by up to
#: half a resized pixel (findings/monai_resize_nearest.sh).
_RESIZE_MODES = {
    (2, False): "bilinear",
    (3, False): "trilinear",
    (2, True): "nearest-exact",
    (3, True): "nearest-exact",
}
#: The two directions of each axis, as nibabel and MONAI name them: L is toward the patient's left.
_DIRECTIONS = (("L", "R"), ("P", "A"), ("I", "S"))


class ResizeSidesd(MapTransform, InvertibleTransform):
    """Give all volumes one orientation, and all spatial axes the same number of pixels, with MONAI's transforms.

    The arrays of a volume's files may run in any direction. ``axcodes`` names the directions in which the network sees them;
    the axes are permuted and flipped, and nothing is resampled. The inverse gives results the orientation of the file. A
    volume whose file does not state its orientation (``oriented: False`` in its metadata) keeps its axes.

    An image is resized (Taleb 2020, appendix A), or, if ``voxel_size`` is given, resampled to voxels of this size and
    then padded or cropped around its middle. The same line of a config handles images ``(channels, i, j)`` and volumes
    ``(channels, i, j, k)``. Images are interpolated linearly, masks by nearest neighbour. The padding is 0, the value of
    the background (`ScaleToUnitd`).

    Args:
        keys: keys of images and masks.
        side: pixels along each axis.
        voxel_size: side of a voxel after resampling, mm; None resizes instead of resampling.
        label_keys: keys of masks.
        allow_missing_keys: skip keys that an item lacks.
        axcodes: directions of a volume's axes, such as LPS (BraTS) or RAS (Medical Segmentation Decathlon); None keeps the
            orientation of the file.
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
        # successive transforms for each number of axes, for images and for masks
        self.steps = {
            (axes, mask): (
                [Resize([side] * axes, mode=mode)]
                if voxel_size is None
                else [Spacing([voxel_size] * axes, mode=_SPACING_MODES[mask]), ResizeWithPadOrCrop([side] * axes)]
            )
            for (axes, mask), mode in _RESIZE_MODES.items()
        }
        if axcodes is not None:
            for mask in (False, True):
                self.steps[3, mask].insert(0, Orientation(axcodes, labels=_DIRECTIONS))

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
                if not isinstance(step, Orientation) or _was_oriented(item[key]):
                    item[key] = step.inverse(item[key])
        return item


def _was_oriented(volume: MetaTensor) -> bool:
    return bool(volume.applied_operations) and volume.applied_operations[-1]["class"] == Orientation.__name__


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

    def __init__(
        self,
        keys: KeysCollection,
        threshold: float = 0.05,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(
            keys, "image", select_fn=partial(operator.lt, float(threshold)), allow_missing_keys=allow_missing_keys
        )
        self.threshold = float(threshold)

    def __call__(self, data: Mapping[Hashable, Any], lazy: bool | None = None) -> dict[Hashable, Any]:
        if not bool((torch.as_tensor(data[self.source_key]) > self.threshold).any()):
            raise InputError(f"the foreground is empty: no voxel is above {self.threshold:g}; leave the image out")
        return super().__call__(data, lazy)
