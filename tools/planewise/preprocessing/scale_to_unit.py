"""Scale the intensities of a volume or a photograph to the range from 0 to 1."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, ScaleIntensity

from planewise.errors import InputError


class ScaleToUnitd(MapTransform):
    """Scale an image to [0, 1] by its minimum and maximum (Taleb 2020, appendix A).

    The channels of a volume ``(channels, i, j, k)`` are contrasts, so each is scaled separately. The channels of a
    photograph ``(channels, i, j)`` are its colours, so they are scaled together. The value of the background, here 0, is
    written to ``<key>_padding``, shape ``(channels,)``. Random transforms fill areas outside the image with it.

    Raises:
        InputError: a channel of a volume, or a photograph, has only one value.
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.each = ScaleIntensity(minv=0.0, maxv=1.0, channel_wise=True)
        self.together = ScaleIntensity(minv=0.0, maxv=1.0, channel_wise=False)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            image = item[key]
            flat = image.ndim == 3
            for number, channel in enumerate(torch.as_tensor(image)[None] if flat else torch.as_tensor(image)):
                if channel.min() == channel.max():
                    what = "the photograph" if flat else f"channel {number + 1}"
                    raise InputError(
                        f"{what} has the value {float(channel.min()):g} everywhere, so it cannot be scaled; leave it out"
                    )
            item[key] = (self.together if flat else self.each)(image)
            item[f"{key}_padding"] = torch.zeros(len(image))
        return item
