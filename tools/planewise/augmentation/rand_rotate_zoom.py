"""Rotate and zoom images of a batch, with separate probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from planewise.augmentation.draws import own_draws
from planewise.augmentation.rand_affine import RandAffineBatchd, pixel_map


class RandRotateZoomBatchd(RandAffineBatchd):
    """Rotate and zoom some images of a batch, each about its own random axis (Taleb 2020, appendix A: alpha and gamma).

    Everything else is as in `RandAffineBatchd`: each image is interpolated only once, masks and affines are changed with it,
    and several processes draw the same numbers as one.

    Args:
        rotate: largest rotation in either direction, degrees.
        rotate_share: share of the images that are rotated. Volumes rotate about i, j or k with equal probability.
        scale: smallest and largest magnification.
        scale_share: share of the images that are magnified.
        label_keys, spatial_dims: see `RandAffineBatchd`.

    Raises:
        ValueError: a setting is invalid, or the batch does not contain images or volumes as declared.
    """

    def __init__(
        self,
        rotate: float = 180.0,
        rotate_share: float = 0.5,
        scale: Sequence[float] = (0.8, 1.2),
        scale_share: float = 0.2,
        label_keys: Sequence[str] = ("label",),
        spatial_dims: int = 2,
    ) -> None:
        for name, value in (("rotate_share", rotate_share), ("scale_share", scale_share)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be a share from 0 to 1, got {value}")
        super().__init__(float(rotate), scale, label_keys=label_keys, spatial_dims=spatial_dims)
        self.rotate_share, self.scale_share = float(rotate_share), float(scale_share)

    def _draw(self, count: int, shape: tuple[int, ...]) -> Tensor:
        turns = len(self.rotate)
        rotated, axis, angle, zoomed, by = own_draws(count, 5, dtype=torch.float64).unbind(dim=1)
        angle = torch.where(rotated < self.rotate_share, (2 * angle - 1) * self.rotate[0], 0.0)
        chosen = (axis * turns).long().clamp(max=turns - 1)
        angles = torch.zeros(count, turns, dtype=torch.float64).scatter(1, chosen[:, None], angle[:, None])
        magnify = torch.where(zoomed < self.scale_share, self.scale[0] + by * (self.scale[1] - self.scale[0]), 1.0)
        return pixel_map(angles, magnify, torch.tensor(shape, dtype=torch.float64))
