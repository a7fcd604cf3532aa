"""Change the intensities of a whole batch at random, on the batch's device."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.transforms import RandomizableTrait, Transform
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, pad

from planewise.augmentation.each_image import own_draws
from planewise.data.to_device import to_device

#: Number of knots along each axis between which the shading is interpolated, as smooth as that of a coil.
_KNOTS = 4


class RandIntensityBatchd(Transform, RandomizableTrait):
    """Change the contrast, the shading and the noise of every image of a batch by its own random amount.

    Scanners and protocols differ in all three. (Zhang 2024 does not make these changes, so the bundles of its pretexts set
    them to zero.) A batch contains ``image`` ``(B, C, ...)``, 2D or 3D, and ``image_padding`` ``(B, C)``, the value of the
    background. All channels of an image (the slices of a stack) are changed equally, in this order:

    1. gamma: the image is scaled to [0, 1] and raised to the power ``exp(u)``, with u uniform in ``[-gamma, gamma]``;
    2. bias field: the difference from the background times ``exp(f)``, with a smooth f in ``[-bias_field, bias_field]``;
    3. Gaussian noise is added, whose standard deviation is the image's own, times a uniform factor from ``[0, noise]``.

    Then the image and ``image_padding`` are standardised again.

    Args:
        gamma: largest absolute value of the exponent's logarithm; 0 leaves the contrast unchanged.
        bias_field: largest absolute change of the logarithm of the brightness; 0 leaves the shading unchanged.
        noise: largest standard deviation of the noise, as a share of the image's standard deviation; 0 adds no noise.
    """

    def __init__(self, gamma: float = 0.0, bias_field: float = 0.0, noise: float = 0.0) -> None:
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


class RandBrightnessBatchd(Transform, RandomizableTrait):
    """Change the contrast and brightness of some images of a batch at random (Taleb 2020, appendix A).

    ``x`` becomes ``mean + contrast (x - mean) + brightness``, clipped to [0, 1], where ``mean`` is the mean of the
    channel. A batch contains ``image`` ``(B, C, ...)`` in [0, 1], 2D or 3D, and ``image_padding`` ``(B, C)``, which is
    changed in the same way. Each image has its own random amounts. For standardised images: `RandIntensityBatchd`.

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


#: Half-width of the kernel in standard deviations; 0.05 % of a Gaussian is beyond it.
_REACH = 3.5


class RandBlurBatchd(Transform, RandomizableTrait):
    """Blur some images of a batch, each by its own random amount.

    A batch contains ``image`` ``(B, C, i, j)``; channels are blurred equally. The outermost pixels are repeated.

    Args:
        prob: probability that an image is blurred; 0 blurs no image.
        sigma: smallest and largest standard deviation of the Gaussian, pixels.
    """

    def __init__(self, prob: float = 0.5, sigma: tuple[float, float] = (0.1, 2.0)) -> None:
        self.prob = float(prob)
        self.sigma = (float(sigma[0]), float(sigma[1]))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        if not self.prob:
            return batch
        image: Tensor = batch["image"]
        draws = own_draws(len(image), 2)
        blurred = (draws[:, 0] < self.prob).nonzero()[:, 0]
        if len(blurred):
            sigma = self.sigma[0] + draws[blurred, 1] * (self.sigma[1] - self.sigma[0])
            rows, sigma = to_device(blurred, image.device), to_device(sigma.to(image.dtype), image.device)
            batch["image"] = image.index_copy(0, rows, gaussian_blur(image[rows], sigma, self.sigma[1]))
        return batch


def gaussian_blur(image: Tensor, sigma: Tensor, largest: float) -> Tensor:
    """Blur each image with its own Gaussian, along one axis after the other.

    Args:
        image: images, ``(B, C, i, j)``.
        sigma: standard deviations, ``(B,)``, pixels.
        largest: an upper bound of all standard deviations, which determines the size of the kernel. (Reading ``sigma``
            itself would wait for a GPU.)
    """
    reach = max(1, min(int(_REACH * largest + 0.5), min(image.shape[2:]) - 1))
    offset = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-0.5 * (offset / sigma[:, None]).square())
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    count, channels, *shape = image.shape
    # every image becomes a channel with its own kernel
    rows = kernel.repeat_interleave(channels, dim=0)[:, None, None]
    stacked = image.reshape(1, count * channels, *shape)
    for kernels, border in ((rows.transpose(2, 3), (0, 0, reach, reach)), (rows, (reach, reach, 0, 0))):
        stacked = conv2d(pad(stacked, border, mode="replicate"), kernels, groups=count * channels)
    return stacked.reshape(image.shape)
