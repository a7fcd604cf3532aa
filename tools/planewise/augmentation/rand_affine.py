"""Random rotation, scaling, shift and flip of a whole batch at once, on the device that it is on."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import ignite.distributed as idist
import torch
from monai.transforms import Transform
from torch import Tensor
from torch.nn.functional import grid_sample

from planewise.data.to_device import to_device

#: Pixels that a processor's core takes at a time. Image, grid and result are 16 bytes a pixel, a core's second-level
#: cache is a megabyte or more, and with fewer the calls would count: at 224 x 224 one image, two to three times as fast
#: as the batch as one.
_PART = 2**16


class RandAffineBatchd(Transform):
    """Rotate, scale, shift and flip every image of a batch by its own random amount, in its own plane.

    A batch holds ``image`` ``(B, C, i, j)``, ``image_padding`` ``(B, C)`` and, where targets need it, ``affine``
    ``(B, 4, 4)``. The channels may be the slices of a stack, which then move together. Images are
    sampled bilinearly, masks under ``label_keys`` ``(B, 1, i, j)`` by nearest neighbour; what comes in from outside is
    the slice's own background (0 for masks). The affines are composed with the transform, so that targets computed
    after this one are exact. Draws come from torch's global generator on the CPU: the seed of the iteration decides.
    Processes that share a seed draw what one would for all their batches, and take every other row of it (every third of
    three).

    Args:
        rotate: largest rotation either way, degrees.
        scale: smallest and largest magnification.
        shift: largest shift either way along each axis, as a share of the image's size.
        flip: probability of a flip along the first axis (left-right for an image shown upright).
        label_keys: masks to transform with the image; those that a batch lacks are skipped.
    """

    def __init__(
        self,
        rotate: float = 15.0,
        scale: Sequence[float] = (0.9, 1.1),
        shift: float = 0.0,
        flip: float = 0.0,
        label_keys: Sequence[str] = ("label",),
    ) -> None:
        if not 0 < scale[0] <= scale[1]:
            raise ValueError(f"scale is (smallest, largest), both above zero, not {tuple(scale)}")
        self.rotate = math.radians(rotate)
        self.scale = (float(scale[0]), float(scale[1]))
        self.shift = float(shift)
        self.flip = float(flip)
        self.label_keys = tuple(label_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        image = batch["image"]
        count, height, width = image.shape[0], image.shape[2], image.shape[3]
        # the one copy to the device; all that follows from it is computed there
        to_input = to_device(self._draw(count, (height, width)), image.device)
        padding = batch["image_padding"].to(image.dtype).reshape(count, -1, 1, 1)
        masks = {key: batch[key].to(image.dtype) for key in self.label_keys if key in batch}
        moved = {
            name: torch.empty_like(values, memory_format=torch.contiguous_format) for name, values in masks.items()
        }
        sampled = torch.empty_like(image, memory_format=torch.contiguous_format)
        row_terms, column_terms = _grid_terms(to_input, (height, width))
        for part in _parts(image):
            # x and y lie apart in memory: the sum runs along the columns, and the sampling need not sort them out
            grid = (row_terms[part] + column_terms[part]).permute(0, 2, 3, 1)
            background = padding[part]
            # grid_sample fills with zeros: shift the background to zero and back
            inside = grid_sample(image[part] - background, grid, "bilinear", "zeros", align_corners=True)
            torch.add(inside, background, out=sampled[part])
            for key, mask in masks.items():
                moved[key][part] = grid_sample(mask[part], grid, "nearest", "zeros", align_corners=True)
        batch |= {"image": sampled, **moved}
        if "affine" not in batch:
            return batch
        affine = batch["affine"]
        compose = torch.eye(4, dtype=affine.dtype, device=affine.device).repeat(count, 1, 1)
        compose[:, :2, :2] = to_input[:, :, :2]
        compose[:, :2, 3] = to_input[:, :, 2]
        batch["affine"] = affine @ compose
        return batch

    def _draw(self, count: int, shape: tuple[int, int]) -> Tensor:
        """Output pixels to input pixels, ``(B, 2, 3)``, float64, on the CPU."""
        # every process draws for all and takes its own rows, as the samples are dealt out in turns
        processes, rank = idist.get_world_size(), idist.get_rank()
        draws = torch.rand(processes * count, 5, dtype=torch.float64)[rank::processes]
        angle = (2 * draws[:, 0] - 1) * self.rotate
        magnify = self.scale[0] + draws[:, 1] * (self.scale[1] - self.scale[0])
        size = torch.tensor(shape, dtype=torch.float64)
        shift = (2 * draws[:, 2:4] - 1) * self.shift * size
        mirror = torch.where(draws[:, 4] < self.flip, -1.0, 1.0)
        cos, sin = torch.cos(angle) / magnify, torch.sin(angle) / magnify
        linear = torch.stack([torch.stack([cos * mirror, -sin], -1), torch.stack([sin * mirror, cos], -1)], dim=-2)
        centre = (size - 1) / 2
        offset = centre + shift - linear @ centre
        return torch.cat([linear, offset[..., None]], dim=-1)


def _grid_terms(to_input: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The same transform as `grid_sample` wants it: (x, y) = (j, i) in [-1, 1], as a term per row and one per column.

    Their broadcast sum is the grid, ``(B, 2, i, j)``; `affine_grid` costs more than the sampling itself.
    """
    i, j = (to_input[:, axis] * (2 / max(side - 1, 1)) for axis, side in enumerate(shape))
    xy = torch.stack([j, i], dim=1)
    rows, columns = (torch.arange(side, dtype=torch.float64, device=to_input.device) for side in shape)
    row_terms = (xy[..., 0, None] * rows + xy[..., 2, None] - 1).to(torch.float32)
    column_terms = (xy[..., 1, None] * columns).to(torch.float32)
    return row_terms[..., :, None], column_terms[..., None, :]


def _parts(image: Tensor) -> Iterator[slice]:
    """The batch in parts: on a processor what one step writes is still in the cache for the next.

    A GPU takes the batch as one; a processor as many images at a time as it has threads, or more if they are small.
    """
    count = len(image)
    size = max(1, count)
    if image.device.type == "cpu":
        size = torch.get_num_threads() * max(1, _PART // max(1, image[:1].numel()))
    return (slice(start, start + size) for start in range(0, count, size))
