"""Blur images of a batch at random, on the batch's device."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.transforms import RandomizableTrait, Transform
from torch import Tensor
from torch.nn.functional import conv2d, pad

from planewise.augmentation.draws import check_probabilities, own_draws
from planewise.data.to_device import to_device

#: Half-width of the kernel in standard deviations; 0.05 % of a Gaussian is beyond it.
_REACH = 3.5


class RandBlurBatchd(Transform, RandomizableTrait):
    """Blur some images of a batch, each by its own random amount.

    A batch contains ``image`` ``(B, C, i, j)``; all channels of an image are blurred equally. Beyond the border, the
    outermost pixels are repeated.

    Args:
        prob: probability that an image is blurred; 0 blurs no image.
        sigma: smallest and largest standard deviation of the Gaussian, pixels.
    """

    def __init__(self, prob: float = 0.5, sigma: tuple[float, float] = (0.1, 2.0)) -> None:
        check_probabilities(prob=prob)
        if not 0 < sigma[0] <= sigma[1]:
            raise ValueError(f"sigma must be (smallest, largest), both above zero, got {tuple(sigma)}")
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
