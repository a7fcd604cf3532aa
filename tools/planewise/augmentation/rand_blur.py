"""Random blur of a whole batch at once, on the device that it is on."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.transforms import Transform
from torch import Tensor
from torch.nn.functional import conv2d, pad

from planewise.augmentation.draws import own_draws
from planewise.data.to_device import to_device

#: Standard deviations to either side that the kernel reaches: beyond lies a fortieth of a percent.
_REACH = 3.5


class RandBlurBatchd(Transform):
    """Blur some images of a batch, each by its own random amount.

    A batch holds ``image`` ``(B, C, i, j)``; the channels of an image are blurred alike. At the border the image goes on with
    its last pixels. Several processes draw as one (`own_draws`).

    Args:
        probability: share of the images that are blurred; 0 blurs none.
        sigma: smallest and largest standard deviation of the Gaussian, pixels.
    """

    def __init__(self, probability: float = 0.5, sigma: tuple[float, float] = (0.1, 2.0)) -> None:
        if not 0 <= probability <= 1:
            raise ValueError(f"probability is a number from 0 to 1, not {probability}")
        if not 0 < sigma[0] <= sigma[1]:
            raise ValueError(f"sigma is (smallest, largest), both above zero, not {tuple(sigma)}")
        self.probability = float(probability)
        self.sigma = (float(sigma[0]), float(sigma[1]))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        if not self.probability:
            return batch
        image: Tensor = batch["image"]
        draws = own_draws(len(image), 2)
        blurred = (draws[:, 0] < self.probability).nonzero()[:, 0]
        if len(blurred):
            sigma = self.sigma[0] + draws[blurred, 1] * (self.sigma[1] - self.sigma[0])
            rows, sigma = to_device(blurred, image.device), to_device(sigma.to(image.dtype), image.device)
            batch["image"] = image.index_copy(0, rows, gaussian_blur(image[rows], sigma, self.sigma[1]))
        return batch


def gaussian_blur(image: Tensor, sigma: Tensor, largest: float) -> Tensor:
    """Images ``(B, C, i, j)``, each blurred by its own Gaussian, along one axis after the other.

    Args:
        image: images.
        sigma: ``(B,)``, pixels.
        largest: at least as large as each; the kernel's size follows from it, since a tensor's size may not wait for a GPU.
    """
    reach = max(1, min(int(_REACH * largest + 0.5), min(image.shape[2:]) - 1))
    offset = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-0.5 * (offset / sigma[:, None]).square())
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    count, channels, *shape = image.shape
    # every image is a channel with a kernel of its own
    rows = kernel.repeat_interleave(channels, dim=0)[:, None, None]
    stacked = image.reshape(1, count * channels, *shape)
    for kernels, border in ((rows.transpose(2, 3), (0, 0, reach, reach)), (rows, (reach, reach, 0, 0))):
        stacked = conv2d(pad(stacked, border, mode="replicate"), kernels, groups=count * channels)
    return stacked.reshape(image.shape)
