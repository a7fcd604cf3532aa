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
    and several processes draw the same numbers as a single process.

    Args:
        rotate: largest rotation in either direction, degrees.
        rotate_prob: probability that an image is rotated. Volumes rotate about i, j or k with equal probability.
        zoom: smallest and largest magnification.
        zoom_prob: probability that an image is magnified.
        label_keys, spatial_dims: see `RandAffineBatchd`.

    Raises:
        ValueError: a setting is invalid, or the batch does not contain images or volumes as declared.
    """

    def __init__(
        self,
        rotate: float = 180.0,
        rotate_prob: float = 0.5,
        zoom: Sequence[float] = (0.8, 1.2),
        zoom_prob: float = 0.2,
        label_keys: Sequence[str] = ("label",),
        spatial_dims: int = 2,
    ) -> None:
        for name, value in (("rotate_prob", rotate_prob), ("zoom_prob", zoom_prob)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be a probability from 0 to 1, got {value}")
        super().__init__(float(rotate), zoom, label_keys=label_keys, spatial_dims=spatial_dims)
        self.rotate_prob, self.zoom_prob = float(rotate_prob), float(zoom_prob)

    def _draw(self, count: int, shape: tuple[int, ...]) -> Tensor:
        turns = len(self.rotate)
        rotated, axis, angle, zoomed, by = own_draws(count, 5, dtype=torch.float64).unbind(dim=1)
        angle = torch.where(rotated < self.rotate_prob, (2 * angle - 1) * self.rotate[0], 0.0)
        chosen = (axis * turns).long().clamp(max=turns - 1)
        angles = torch.zeros(count, turns, dtype=torch.float64).scatter(1, chosen[:, None], angle[:, None])
        magnify = torch.where(zoomed < self.zoom_prob, self.zoom[0] + by * (self.zoom[1] - self.zoom[0]), 1.0)
        return pixel_map(angles, magnify, torch.tensor(shape, dtype=torch.float64))
