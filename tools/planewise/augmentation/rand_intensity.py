"""Change the contrast, shading and noise of a whole batch at random, on the batch's device."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.transforms import RandomizableTrait, Transform
from torch import Tensor
from torch.nn.functional import interpolate

from planewise.augmentation.draws import own_draws
from planewise.data.to_device import to_device

#: Number of knots along each axis, between which the shading is interpolated. Few knots make the shading as smooth as
#: that of a coil.
_KNOTS = 4


class RandIntensityBatchd(Transform, RandomizableTrait):
    """Change the contrast, the shading and the noise of every image of a batch by its own random amount.

    Scanners and protocols differ in all three. (Zhang 2024 does not make these changes, so the bundles of its pretexts set
    them to zero.) A batch contains ``image`` ``(B, C, ...)``, 2D or 3D, and ``image_padding`` ``(B, C)``, the value of the
    background. All channels of an image (the slices of a stack) are changed equally, in this order:

    1. gamma: the image is scaled to [0, 1] and raised to the power ``exp(u)``, with u uniform in ``[-gamma, gamma]``;
    2. bias field: the difference from the background is multiplied by ``exp(f)``, with a smooth field f in
       ``[-bias_field, bias_field]``;
    3. Gaussian noise is added, whose standard deviation is the image's own, times a uniform factor from ``[0, noise]``.

    Then the image and ``image_padding`` are standardised again.

    Args:
        gamma: largest absolute value of the exponent's logarithm; 0 leaves the contrast unchanged.
        bias_field: largest absolute change of the logarithm of the brightness; 0 leaves the shading unchanged.
        noise: largest standard deviation of the noise, as a share of the image's standard deviation; 0 adds no noise.
    """

    def __init__(self, gamma: float = 0.0, bias_field: float = 0.0, noise: float = 0.0) -> None:
        for name, value in (("gamma", gamma), ("bias_field", bias_field), ("noise", noise)):
            if not 0 <= float(value) < float("inf"):
                raise ValueError(f"{name} must be zero or more, got {value!r}")
        self.gamma, self.bias_field, self.noise = float(gamma), float(bias_field), float(noise)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        if not (self.gamma or self.bias_field or self.noise):
            return batch
        image: Tensor = batch["image"]
        padding = batch["image_padding"].to(image.dtype)
        background = padding.reshape(*padding.shape, *[1] * (image.ndim - 2))
        if self.gamma:
            exponent = torch.exp(self.gamma * self._uniform(image, 1))
            image, background = _to_the_power(image, background, exponent)
        if self.bias_field:
            knots = self._uniform(image, 1, *[_KNOTS] * (image.ndim - 2))
            mode = "bilinear" if image.ndim == 4 else "trilinear"
            field = interpolate(knots, image.shape[2:], mode=mode, align_corners=True)
            image = background + (image - background) * torch.exp(self.bias_field * field)
        if self.noise:
            strength = self.noise * (self._uniform(image, 1) + 1) / 2
            noise = own_draws(*image.shape, draw=torch.randn, dtype=image.dtype, device=image.device)
            image = image + strength * _deviation(image) * noise
        mean, deviation = image.flatten(1).mean(dim=-1), _deviation(image)
        mean = mean.reshape(deviation.shape)
        batch["image"] = (image - mean) / deviation
        batch["image_padding"] = ((background - mean) / deviation).reshape(padding.shape)
        return batch

    def _uniform(self, image: Tensor, *shape: int) -> Tensor:
        """Draw uniform numbers in [-1, 1), ``(B, *shape)``; a ``shape`` of one entry gets as many axes as the image."""
        draws = 2 * own_draws(len(image), *shape) - 1
        if len(shape) == 1:
            draws = draws.reshape(len(image), *[1] * (image.ndim - 1))
        return to_device(draws.to(image.dtype), image.device)


def _to_the_power(image: Tensor, background: Tensor, exponent: Tensor) -> tuple[Tensor, Tensor]:
    """Scale image and background to [0, 1] by the image's own range, raise them to a power, and scale them back."""
    pixels, shape = image.flatten(1), (len(image), *[1] * (image.ndim - 1))
    low, high = pixels.amin(dim=-1).reshape(shape), pixels.amax(dim=-1).reshape(shape)
    extent = (high - low).clamp_min(torch.finfo(image.dtype).tiny)

    def mapped(values: Tensor) -> Tensor:
        return low + ((values - low) / extent).clamp(0, 1) ** exponent * extent

    return mapped(image), mapped(background)


def _deviation(image: Tensor) -> Tensor:
    """Standard deviation of each image, ``(B, 1, ...)``; 1 for an image with a single grey value."""
    deviation = image.flatten(1).std(dim=-1, correction=0)
    return torch.where(deviation > 0, deviation, 1.0).reshape(len(image), *[1] * (image.ndim - 1))
