"""Resize images to squares and volumes to cubes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.config import KeysCollection
from monai.transforms import InvertibleTransform, MapTransform, Resize, ResizeWithPadOrCrop, Spacing

#: Interpolation of images (False) and masks (True).
_SPACING_MODES = {False: "bilinear", True: "nearest"}
#: MONAI's `Resize` has a different name for each number of axes.
_RESIZE_MODES = {(2, False): "bilinear", (3, False): "trilinear", (2, True): "nearest", (3, True): "nearest"}


class ResizeSidesd(MapTransform, InvertibleTransform):
    """Give all spatial axes the same number of pixels, with MONAI's transforms.

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
    """

    def __init__(
        self,
        keys: KeysCollection,
        side: int,
        voxel_size: float | None = None,
        label_keys: Sequence[str] = ("label",),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label_keys = tuple(label_keys)
        # successive transforms for each number of axes, for images and for masks
        self.steps = {
            (axes, mask): [Resize([side] * axes, mode=mode)]
            if voxel_size is None
            else [Spacing([voxel_size] * axes, mode=_SPACING_MODES[mask]), ResizeWithPadOrCrop([side] * axes)]
            for (axes, mask), mode in _RESIZE_MODES.items()
        }

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            for step in self.steps[item[key].ndim - 1, key in self.label_keys]:
                item[key] = step(item[key])
        return item

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            for step in reversed(self.steps[item[key].ndim - 1, key in self.label_keys]):
                item[key] = step.inverse(item[key])
        return item
