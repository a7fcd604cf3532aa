"""Spoil images for a network to restore: hide patches, or corrupt them as in Models Genesis."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.transforms import RandomizableTrait, Transform
from torch import Tensor

from planewise.augmentation import own_draws
from planewise.data.to_device import to_device
from planewise.errors import InputError


class MaskPatchesd(Transform, RandomizableTrait):
    """Hide random patches of every image of a batch (He et al. 2022, section 3, "Masking").

    The image is divided into a grid of square patches. In each image, the same number of patches is hidden, drawn without
    replacement. Hidden pixels are set to 0, the mean of a standardised image.

    Reads ``image``, ``(B, C, i, j)``, or ``(B, C, i, j, k)`` for volumes. Writes

    - ``image``: the image with hidden pixels set to 0;
    - ``hidden``: whether each pixel is hidden, ``(B, 1, i, j)`` or ``(B, 1, i, j, k)``, bool;
    - ``restored``: the target, which is the unchanged image.

    Args:
        patch_size: side of a patch, pixels.
        mask_ratio: share of hidden patches, rounded to whole patches; at least one is hidden and one is visible.

    Raises:
        InputError: the patches do not fill the image, or there is only one.
    """

    of_pixels = True

    def __init__(self, patch_size: int = 16, mask_ratio: float = 0.75) -> None:
        self.patch_size = int(patch_size)
        self.mask_ratio = float(mask_ratio)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        image: Tensor = batch["image"]
        grid = patch_grid(image.shape[2:], self.patch_size)
        patches = grid.numel()
        count = min(max(round(self.mask_ratio * patches), 1), patches - 1)
        # hide the patches with the smallest random numbers, so that the number of hidden patches is always the same
        hidden = own_draws(len(image), patches).argsort(dim=1)[:, :count]
        mask = torch.zeros(len(image), patches, dtype=torch.bool).scatter_(1, hidden, True)
        mask = on_pixels(to_device(mask, image.device).reshape(len(image), 1, *grid), self.patch_size)
        batch |= {"image": image.masked_fill(mask, 0.0), "hidden": mask, "restored": image}
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
            f"{size} pixels are not made of patches of {patch_size}; choose --image_size {near} or another --patch_size"
        )
    grid = torch.Size(side // patch_size for side in sides)
    if grid.numel() < 2:
        raise InputError(f"an image of {size} pixels is a single patch; lower --patch_size or raise --image_size")
    return grid


def on_pixels(patches: Tensor, patch_size: int) -> Tensor:
    """Repeat the value of each patch for all of its pixels: ``(B, C, *grid)`` to ``(B, C, *(grid * patch_size))``."""
    for axis in range(2, patches.ndim):
        patches = patches.repeat_interleave(patch_size, dim=axis)
    return patches


#: Maximum number of windows per image, and the probability that each window is followed by another one.
_WINDOWS, _ANOTHER = 5, 0.95
#: The smallest side of an image that can be corrupted in windows, pixels; and the number of points of a curve of intensities.
_NARROWEST, _POINTS = 12, 1000


class CorruptImagesd(Transform, RandomizableTrait):
    """Corrupt every image of a batch at random (Zhou 2019, Models Genesis, section 2).

    The steps, in this order:

    1. flip the image; this is the only step that also changes the target;
    2. shuffle its pixels in small windows (`local_shuffle`), at most a tenth of the image wide;
    3. map its intensities through a curve, which rises or falls with equal probability (`nonlinear_intensity`);
    4. paint noise over up to five windows, or over everything outside such windows (`in_windows`).

    For the curve and the noise, each image is scaled to [0, 1] by its minimum and maximum, and afterwards scaled back.

    Reads ``image``, ``(B, 1, i, j)``. Writes

    - ``image``: the corrupted image;
    - ``restored``: the target, which is the flipped but otherwise unchanged image;
    - ``hidden``: where noise is painted, ``(B, 1, i, j)``, bool.

    Args:
        flip_prob: probability that an image is flipped, along either axis or both.
        shuffle_prob: probability that its pixels are shuffled.
        nonlinear_prob: probability that its intensities are mapped through a curve.
        paint_prob: probability that noise is painted.
        inpaint_prob: probability that the noise of a painted image is inside the windows; otherwise it is outside.

    Raises:
        InputError: the image is too small to be corrupted in windows.
    """

    def __init__(
        self,
        flip_prob: float = 0.4,
        shuffle_prob: float = 0.5,
        nonlinear_prob: float = 0.9,
        paint_prob: float = 0.9,
        inpaint_prob: float = 0.2,
    ) -> None:
        self.flip_prob, self.shuffle_prob, self.nonlinear_prob = flip_prob, shuffle_prob, nonlinear_prob
        self.paint_prob, self.inpaint_prob = paint_prob, inpaint_prob

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        image: Tensor = batch["image"]
        rows, columns = image.shape[2:]
        if min(rows, columns) < _NARROWEST:
            raise InputError(
                f"images must have at least {_NARROWEST} pixels a side, got {rows} x {columns}; raise --image_size"
            )
        target = self._flipped(image)
        low = target.amin(dim=(1, 2, 3), keepdim=True)
        span = target.amax(dim=(1, 2, 3), keepdim=True) - low
        scaled = (target - low) / torch.where(span > 0, span, 1.0)  # an image with a single value becomes 0
        spoilt, painted = self._painted(self._curved(self._shuffled(scaled)))
        batch |= {"image": spoilt * span + low, "restored": target, "hidden": painted}
        return batch

    def _flipped(self, image: Tensor) -> Tensor:
        # either axis or both
        axes = torch.tensor([[True, False], [False, True], [True, True]])[(3 * own_draws(len(image), 1)[:, 0]).long()]
        flips = to_device(_chosen(image, self.flip_prob) & axes, image.device)
        for axis in (0, 1):
            image = torch.where(flips[:, axis].reshape(-1, 1, 1, 1), image.flip(2 + axis), image)
        return image

    def _shuffled(self, image: Tensor) -> Tensor:
        count, _, rows, columns = image.shape
        chosen = _chosen(image, self.shuffle_prob)[:, 0]
        window = window_sizes(
            own_draws(count, 2), torch.tensor([1, 1]), torch.tensor([max(2, rows // 10), max(2, columns // 10)])
        )
        offset = (own_draws(count, 2) * window).long()
        keys = own_draws(count, rows * columns, device=image.device)
        # only the images to shuffle are sorted, because sorting is slow
        which = chosen.nonzero()[:, 0]
        window, offset = (to_device(values[which], image.device) for values in (window, offset))
        which = to_device(which, image.device)
        return image.index_copy(0, which, local_shuffle(image[which], window, offset, keys[which]))

    def _curved(self, image: Tensor) -> Tensor:
        control = to_device(own_draws(len(image), 2, 2), image.device).to(image.dtype)
        inverted = to_device(_chosen(image, 0.5)[:, 0], image.device)
        chosen = to_device(_chosen(image, self.nonlinear_prob).reshape(-1, 1, 1, 1), image.device)
        return torch.where(chosen, nonlinear_intensity(image, control, inverted), image)

    def _painted(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Paint noise over the images; return them and the mask of the noise."""
        count, sides = len(image), torch.tensor(image.shape[2:])
        painted, inside = _chosen(image, self.paint_prob), _chosen(image, self.inpaint_prob)
        there = own_draws(count, _WINDOWS) < _ANOTHER
        # an image that is painted outside its windows needs at least one window; otherwise noise would cover all of it
        there[:, :1] |= ~inside
        there = there.cumprod(dim=1).bool()
        draws = own_draws(count, _WINDOWS, 4)
        small = window_sizes(draws[..., :2], sides // 6, sides // 3)
        large = window_sizes(draws[..., :2], sides - 4 * sides // 7, sides - 3 * sides // 7)
        sizes = torch.where(inside[..., None], small, large) * there[..., None]
        corners = (draws[..., 2:] * (sides - sizes + 1)).long()
        windows = in_windows(image, to_device(corners, image.device), to_device(sizes, image.device))
        # inside or outside the windows
        inside, painted = (to_device(each.reshape(-1, 1, 1, 1), image.device) for each in (inside, painted))
        noisy = (windows == inside) & painted
        noise = own_draws(count, *image.shape[1:], device=image.device).to(image.dtype)
        return torch.where(noisy, noise, image), noisy


def _chosen(image: Tensor, probability: float) -> Tensor:
    """Whether each image of a batch is chosen, ``(B, 1)``."""
    return own_draws(len(image), 1) < probability


def window_sizes(draws: Tensor, smallest: Tensor, largest: Tensor) -> Tensor:
    """Turn random numbers in [0, 1), ``(..., d)``, into whole numbers from ``smallest`` to ``largest``, ``(d,)``."""
    return smallest + (draws * (largest - smallest + 1)).long()


def local_shuffle(image: Tensor, window: Tensor, offset: Tensor, keys: Tensor) -> Tensor:
    """Shuffle the pixels within each small window of an image (Zhou 2019, section 2, "Local-shuffling").

    The windows of an image all have the same size and cover it without gaps. Within a window, the texture is lost.

    Args:
        image: ``(B, C, i, j)``; the channels move together.
        window: rows and columns of the windows of each image, ``(B, 2)``, int64; windows of one pixel change nothing.
        offset: displacement of the windows up and to the left, ``(B, 2)``, int64, at least 0 and less than the window.
        keys: random numbers in [0, 1), one for each pixel, ``(B, i * j)``, which give the new order within a window.
    """
    count, _, rows, columns = image.shape
    row = torch.arange(rows, device=image.device)
    column = torch.arange(columns, device=image.device)
    across = (row + offset[:, :1]) // window[:, :1]
    along = (column + offset[:, 1:]) // window[:, 1:]
    cell = (across[:, :, None] * (columns + 1) + along[:, None, :]).flatten(1)
    # the n-th position of a window gets the pixel with its n-th smallest key
    places = cell.argsort(dim=1, stable=True)
    pixels = (cell + keys.double()).argsort(dim=1)
    source = torch.empty_like(places).scatter_(1, places, pixels)
    flat = image.flatten(2)
    return flat.gather(2, source[:, None].expand_as(flat)).reshape(image.shape)


def nonlinear_intensity(image: Tensor, control: Tensor, inverted: Tensor) -> Tensor:
    """Map the values of each image through its own Bezier curve (Zhou 2019, section 2, "Non-linear").

    The cubic curve goes from (0, 0) to (1, 1). Its two control points are in the unit square, so both coordinates
    increase along the curve, and each old value has exactly one new value.

    Args:
        image: images with values in [0, 1], ``(B, ...)``.
        control: the control points as (x, y), in [0, 1], ``(B, 2, 2)``.
        inverted: whether the map of each image is one minus the curve, ``(B,)``, bool.
    """
    time = torch.linspace(0, 1, _POINTS, dtype=image.dtype, device=image.device)
    first, second = 3 * (1 - time) ** 2 * time, 3 * (1 - time) * time**2
    curve = first * control[:, 0, :, None] + second * control[:, 1, :, None] + time**3
    x, y = curve[:, 0].contiguous(), curve[:, 1]
    y = torch.where(inverted[:, None], 1 - y, y)
    values = image.reshape(len(image), -1).contiguous()
    right = torch.searchsorted(x, values).clamp(1, _POINTS - 1)
    before, after = x.gather(1, right - 1), x.gather(1, right)
    low, high = y.gather(1, right - 1), y.gather(1, right)
    share = ((values - before) / (after - before).clamp_min(torch.finfo(x.dtype).tiny)).clamp(0, 1)
    return (low + share * (high - low)).reshape(image.shape)


def in_windows(image: Tensor, corners: Tensor, sizes: Tensor) -> Tensor:
    """Whether each pixel is inside any window of its image, ``(B, 1, i, j)``, bool.

    Args:
        image: ``(B, C, i, j)``.
        corners: first row and column of each window, ``(B, N, 2)``, int64.
        sizes: number of rows and columns of each window, ``(B, N, 2)``, int64; 0 for a missing window.
    """
    inside = []
    for axis in (0, 1):
        place = torch.arange(image.shape[2 + axis], device=image.device)
        first, size = corners[..., axis, None], sizes[..., axis, None]
        inside.append((place >= first) & (place < first + size))
    rows, columns = inside
    return (rows[..., :, None] & columns[..., None, :]).any(dim=1, keepdim=True)
