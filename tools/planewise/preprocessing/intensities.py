"""Scale or standardise intensities, and record the value of the background."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform, ScaleIntensity

from planewise.errors import InputError


class ScaleToUnitd(MapTransform):
    """Scale an image to [0, 1] by its minimum and maximum (Taleb 2020, appendix A).

    The channels of a volume ``(channels, i, j, k)`` are contrasts, so each is scaled separately. Those of a photograph
    ``(channels, i, j)`` are its colours, so they are scaled together. The value of the background, here 0, is written to
    ``<key>_padding``, shape ``(channels,)``. Random transforms fill areas outside the image with it.

    Raises:
        InputError: a channel of a volume, or a photograph, has only one value.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            image = item[key]
            flat = image.ndim == 3
            pixels = torch.as_tensor(image)
            for number, channel in enumerate(pixels[None] if flat else pixels, 1):
                if channel.min() == channel.max():
                    what = "the photograph" if flat else f"channel {number}"
                    raise InputError(
                        f"{what} has the value {float(channel.min()):g} everywhere, so it cannot be scaled; leave it out"
                    )
            item[key] = ScaleIntensity(minv=0.0, maxv=1.0, channel_wise=not flat)(image)
            item[f"{key}_padding"] = torch.zeros(len(image))
        return item


class StandardizeSliced(MapTransform):
    """Standardise each slice to mean 0 and standard deviation 1 (Zhang 2024, section 5.1.1), after cropping and padding.

    An image is ``(1, i, j, slices)``, and every slice is standardised separately. A slice with a single grey value
    becomes 0. The background, which was 0 before, gets another value; this value is written to ``<key>_padding``, shape
    ``(slices,)``. Random transforms fill areas outside the image with it.

    Raises:
        ValueError: an image has another shape.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            image = item[key].to(torch.float32)
            if image.ndim != 4 or image.shape[0] != 1:
                raise ValueError(
                    f"{key} must be one channel of slices (1, i, j, slices), got shape {tuple(image.shape)}"
                )
            pixels = image.as_tensor() if isinstance(image, MetaTensor) else image
            mean = pixels.mean(dim=(0, 1, 2))
            deviation = pixels.std(dim=(0, 1, 2), correction=0)
            deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
            item[key] = (image - mean) / deviation
            item[f"{key}_padding"] = -mean / deviation
        return item
