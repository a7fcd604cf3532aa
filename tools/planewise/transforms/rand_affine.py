"""Random rotation, scaling, shift and flip of a whole batch at once, on the device that it is on."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.transforms import Transform
from torch import Tensor
from torch.nn.functional import grid_sample


class RandAffineBatchd(Transform):
    """Rotate, scale, shift and flip every image of a batch by its own random amount, in its own plane.

    A batch holds ``image`` ``(B, C, i, j)``, ``image_padding`` ``(B, C)`` and, where targets need it, ``affine``
    ``(B, 4, 4)``. The channels may be the slices of a stack, which then move together. Images are
    sampled bilinearly, masks under ``label_keys`` ``(B, 1, i, j)`` by nearest neighbour; what comes in from outside is
    the slice's own background (0 for masks). The affines are composed with the transform, so that targets computed
    after this one are exact. Draws come from torch's global generator on the CPU: the seed of the iteration decides.

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
        self._grid: Tensor | None = None

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        image = batch["image"]
        count, height, width = image.shape[0], image.shape[2], image.shape[3]
        to_input = self._draw(count, (height, width))
        grid = self._sampling_grid(to_input, (height, width), image.device)
        padding = batch["image_padding"].to(image.dtype).reshape(count, -1, 1, 1)
        # grid_sample fills with zeros: shift the background to zero and back
        sampled = grid_sample(image - padding, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
        batch["image"] = sampled.add_(padding)
        for key in self.label_keys:
            if key in batch:
                mask = batch[key].to(image.dtype)
                batch[key] = grid_sample(mask, grid, mode="nearest", padding_mode="zeros", align_corners=True)
        if "affine" not in batch:
            return batch
        affine = batch["affine"]
        compose = torch.eye(4, dtype=affine.dtype).repeat(count, 1, 1)
        compose[:, :2, :2] = to_input[:, :, :2]
        compose[:, :2, 3] = to_input[:, :, 2]
        batch["affine"] = affine @ compose.to(affine.device, non_blocking=True)
        return batch

    def _draw(self, count: int, shape: tuple[int, int]) -> Tensor:
        """Output pixels to input pixels, ``(B, 2, 3)``, float64, on the CPU."""
        draws = torch.rand(count, 5, dtype=torch.float64)
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

    def _sampling_grid(self, to_input: Tensor, shape: tuple[int, int], device: torch.device) -> Tensor:
        """The same transform as `grid_sample` wants it, ``(B, i, j, 2)``: (x, y) = (j, i) in [-1, 1].

        One broadcast sum of a term per row and a term per column, into a buffer that is kept: `affine_grid` costs more
        than the sampling itself.
        """
        height, width = shape
        if (
            self._grid is None
            or self._grid.shape[:3] != (to_input.shape[0], height, width)
            or self._grid.device != device
        ):
            self._grid = torch.empty(to_input.shape[0], height, width, 2, device=device)
        scale = 2 / (torch.tensor([width, height], dtype=torch.float64) - 1)
        # rows of to_input are (i, j) of the input; grid_sample wants (x, y) = (j, i)
        xy = to_input.flip(1) * scale[:, None]
        rows = torch.arange(height, dtype=torch.float64)
        columns = torch.arange(width, dtype=torch.float64)
        row_term = xy[:, None, :, 0] * rows[:, None] + xy[:, None, :, 2] - 1
        column_term = xy[:, None, :, 1] * columns[:, None]
        row_term = row_term.to(device, torch.float32, non_blocking=True)[:, :, None]
        column_term = column_term.to(device, torch.float32, non_blocking=True)[:, None]
        return torch.add(row_term, column_term, out=self._grid)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_grid": None}
