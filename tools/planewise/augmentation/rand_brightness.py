"""Change the brightness and contrast of images in [0, 1] at random, on the batch's device."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.transforms import RandomizableTrait, Transform
from torch import Tensor

from planewise.augmentation.draws import check_probabilities, own_draws
from planewise.data.to_device import to_device


class RandBrightnessBatchd(Transform, RandomizableTrait):
    """Change the contrast and brightness of some images of a batch at random (Taleb 2020, appendix A).

    ``x`` becomes ``mean + contrast (x - mean) + brightness``, clipped to [0, 1], where ``mean`` is the mean of the
    channel. A batch contains ``image`` ``(B, C, ...)`` in [0, 1], 2D or 3D, and ``image_padding`` ``(B, C)``, which is
    changed in the same way. Each image is changed by its own random amounts. For standardised images, use
    `RandIntensityBatchd`.

    Args:
        prob: probability that an image is changed.
        brightness: largest change in either direction.
        contrast: smallest and largest factor.
        channel_wise: whether each channel of an image has its own amounts, so that colours change (Chen 2020, section 3.1).
    """

    def __init__(
        self,
        prob: float = 0.5,
        brightness: float = 0.125,
        contrast: Sequence[float] = (0.5, 1.5),
        channel_wise: bool = False,
    ) -> None:
        check_probabilities(prob=prob)
        if brightness < 0:
            raise ValueError(f"brightness must be zero or more, got {brightness}")
        if not 0 <= contrast[0] <= contrast[1]:
            raise ValueError(f"contrast must be (smallest, largest), both zero or more, got {tuple(contrast)}")
        self.prob, self.brightness = float(prob), float(brightness)
        self.contrast = (float(contrast[0]), float(contrast[1]))
        self.channel_wise = channel_wise

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        image: Tensor = batch["image"]
        amounts = image.shape[1] if self.channel_wise else 1
        which, factor, added = own_draws(len(image), 1 + 2 * amounts).split([1, amounts, amounts], dim=1)
        changed = which < self.prob
        factor = torch.where(changed, self.contrast[0] + factor * (self.contrast[1] - self.contrast[0]), 1.0)
        added = torch.where(changed, (2 * added - 1) * self.brightness, 0.0)
        factor, added = to_device(torch.stack([factor, added]).to(image.dtype), image.device)
        mean = image.flatten(2).mean(dim=-1)
        shape = (*mean.shape, *[1] * (image.ndim - 2))
        offset = mean * (1 - factor) + added
        wide = factor.reshape(len(image), amounts, *[1] * (image.ndim - 2))
        batch["image"] = torch.addcmul(offset.reshape(shape), image, wide).clamp_(0, 1)
        batch["image_padding"] = (offset + batch["image_padding"].to(image.dtype) * factor).clamp(0, 1)
        return batch
