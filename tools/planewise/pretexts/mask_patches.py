"""Hide patches of images, for a masked autoencoder to restore."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.transforms import RandomizableTrait, Transform
from torch import Tensor

from planewise.augmentation import own_draws
from planewise.data.to_device import to_device
from planewise.errors import InputError

#: Added to the variance of a patch (as in the code of He et al. 2022), so that a patch with a single value does not
#: cause a division by zero.
_EPSILON = 1e-6


class MaskPatchesd(Transform, RandomizableTrait):
    """Hide random patches of every image of a batch (He et al. 2022, section 3, "Masking").

    The image is divided into a grid of square patches. In each image, the same number of patches is hidden, drawn without
    replacement. Hidden pixels are set to 0, the mean of a standardised image.

    Reads ``image``, ``(B, C, i, j)``, or ``(B, C, i, j, k)`` for volumes. Writes

    - ``image``: the image with hidden pixels set to 0;
    - ``hidden``: whether each pixel is hidden, ``(B, 1, i, j)`` or ``(B, 1, i, j, k)``, bool;
    - ``restored``: the target, which is the unchanged image; with ``normalize_patches``, each patch of it is
      standardised by its own mean and standard deviation.

    Args:
        patch_size: side of a patch, pixels.
        mask_ratio: share of hidden patches, rounded to a whole number of patches; at least one patch is hidden and at
            least one is visible.
        normalize_patches: standardise each patch of the target (He et al. 2022, "Reconstruction target").

    Raises:
        InputError: the patches do not fill the image, or there is only one.
    """

    def __init__(self, patch_size: int = 16, mask_ratio: float = 0.75, normalize_patches: bool = False) -> None:
        self.patch_size = int(patch_size)
        self.mask_ratio = float(mask_ratio)
        self.normalize_patches = bool(normalize_patches)

    def network_side(self, shape: Sequence[int]) -> int:
        """Smallest side, in pixels, of an image of this shape. An image that patches cannot fill is refused."""
        patch_grid(shape, self.patch_size)
        return min(shape)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        image: Tensor = batch["image"]
        grid = patch_grid(image.shape[2:], self.patch_size)
        patches = grid.numel()
        # hide the patches with the smallest random numbers, so that the number of hidden patches is always the same
        hidden = own_draws(len(image), patches).argsort(dim=1)[:, : hidden_patches(patches, self.mask_ratio)]
        mask = torch.zeros(len(image), patches, dtype=torch.bool).scatter_(1, hidden, True)
        mask = on_pixels(to_device(mask, image.device).reshape(len(image), 1, *grid), self.patch_size)
        target = standardized_patches(image, self.patch_size) if self.normalize_patches else image
        batch |= {"image": image.masked_fill(mask, 0.0), "hidden": mask, "restored": target}
        return batch


def patch_grid(shape: Sequence[int], patch_size: int) -> torch.Size:
    """Number of patches along each axis of an image of this shape.

    Raises:
        InputError: the patches do not fill the image, or there is only one.
    """
    sides = [int(side) for side in shape]
    size = " x ".join(map(str, sides))
    if uneven := [side for side in sides if side % patch_size]:
        near = max(2, round(uneven[0] / patch_size)) * patch_size
        raise InputError(
            f"an image of {size} pixels cannot be divided into patches of {patch_size} pixels; choose an --image_size that "
            f"is a multiple of {patch_size} (the nearest is {near}), or another --patch_size"
        )
    grid = torch.Size(side // patch_size for side in sides)
    if grid.numel() < 2:
        raise InputError(
            f"an image of {size} pixels is a single patch of {patch_size} pixels, so no patch would stay visible; "
            "lower --patch_size or raise --image_size"
        )
    return grid


def hidden_patches(patches: int, mask_ratio: float) -> int:
    """Number of hidden patches: at least one, and at most all but one."""
    return min(max(round(mask_ratio * patches), 1), patches - 1)


def on_pixels(patches: Tensor, patch_size: int) -> Tensor:
    """Repeat the value of each patch for all of its pixels: ``(B, C, *grid)`` to ``(B, C, *(grid * patch_size))``."""
    for axis in range(2, patches.ndim):
        patches = patches.repeat_interleave(patch_size, dim=axis)
    return patches


def standardized_patches(image: Tensor, patch_size: int) -> Tensor:
    """Standardise each patch of each channel of an image ``(B, C, *spatial)``; a patch with a single value becomes 0."""
    blocks = image
    # (B, C, i, j) -> (B, C, patches along i, pixel, patches along j, pixel)
    for axis in range(image.ndim - 1, 1, -1):
        blocks = blocks.unflatten(axis, (-1, patch_size))
    pixels = tuple(range(3, blocks.ndim, 2))
    variance, mean = torch.var_mean(blocks, dim=pixels, keepdim=True)
    return ((blocks - mean) / (variance + _EPSILON).sqrt()).reshape(image.shape)
