"""Images as squares and volumes as cubes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.config import KeysCollection
from monai.transforms import InvertibleTransform, MapTransform, Resize, ResizeWithPadOrCrop, Spacing

#: How images and masks are interpolated.
_SPACING_MODES = {False: "bilinear", True: "nearest"}
#: MONAI's `Resize` has a name of its own for each number of axes.
_RESIZE_MODES = {(2, False): "bilinear", (3, False): "trilinear", (2, True): "nearest", (3, True): "nearest"}


class ResizeSidesd(MapTransform, InvertibleTransform):
    """Make every spatial axis as many pixels long, with MONAI's transforms: by resizing (Taleb 2020, appendix A), or by
    resampling to voxels of one width and then padding or cropping around the middle.

    Images ``(channels, i, j)`` and volumes ``(channels, i, j, k)`` go through the same line of a config. Images are
    interpolated linearly, masks by nearest neighbour. What is padded is 0, the background (`ScaleToUnitd`).

    Args:
        keys: keys of images and masks.
        side: pixels along each axis.
        voxel_size: mm along each axis; None resizes, whatever the voxels are.
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
        # one after the other, by the number of axes and by whether it is a mask
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
