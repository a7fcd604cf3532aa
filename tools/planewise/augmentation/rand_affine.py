"""Rotate, scale, shift and flip a whole batch at once, at random, on the batch's device."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any

import torch
from monai.transforms import RandomizableTrait, Transform
from torch import Tensor
from torch.nn.functional import grid_sample

from planewise.augmentation.draws import check_probabilities, own_draws
from planewise.data.to_device import to_device

#: Number of pixels that a CPU core processes at a time. Image, grid and result take 16 bytes per pixel, so they fit into
#: the second-level cache of a core, which is two to three times as fast as the whole batch at once.
_PART = 2**16


class RandAffineBatchd(Transform, RandomizableTrait):
    """Rotate, scale, shift and flip every image of a batch by its own random amount, in its own plane or volume.

    A batch contains ``image`` ``(B, C, i, j)`` or, for volumes, ``(B, C, i, j, k)``, ``image_padding`` ``(B, C)`` and, if
    targets need it, ``affine`` ``(B, 4, 4)``. The channels may be the slices of a stack, which then move together.
    Images are sampled (bi- or tri-)linearly, and masks under ``label_keys`` ``(B, 1, i, j)`` by nearest neighbour. Areas
    outside the image are filled with the slice's own background (0 for masks). The affines are composed with the
    transform, so targets that are computed afterwards are exact. Rotations act on the pixel grid, so pixels must be
    isotropic.

    Args:
        rotate: largest rotation in either direction, degrees. For volumes, it is one number for all three axes, or one for
            each of the axes i, j and k. The rotation about k is applied first, and the rotation about i last
            (``R_i R_j R_k``, as in MONAI's `create_rotate`).
        zoom: smallest and largest magnification.
        shift: largest shift in either direction along each axis, as a share of the image's size.
        flip_prob: probability of a flip along the first axis (left-right for an image shown upright).
        label_keys: masks to transform with the image; those that a batch lacks are skipped.
        spatial_dims: 2 for images, 3 for volumes.

    Raises:
        ValueError: a setting is invalid, or the batch does not contain images or volumes as declared.
    """

    def __init__(
        self,
        rotate: float | Sequence[float] = 15.0,
        zoom: Sequence[float] = (0.9, 1.1),
        shift: float = 0.0,
        flip_prob: float = 0.0,
        label_keys: Sequence[str] = ("label",),
        spatial_dims: int = 2,
    ) -> None:
        if spatial_dims not in (2, 3):
            raise ValueError(f"spatial_dims must be 2 (images) or 3 (volumes), got {spatial_dims}")
        if not 0 < zoom[0] <= zoom[1]:
            raise ValueError(f"zoom must be (smallest, largest), both above zero, got {tuple(zoom)}")
        # a plane rotates about one axis, a volume about three
        turns = 1 if spatial_dims == 2 else 3
        angles = list(rotate) if isinstance(rotate, Sequence) else [rotate] * turns
        if len(angles) != turns:
            raise ValueError(
                f"rotate must be a number of degrees for each of {turns} axes, or one for all, got {rotate}"
            )
        self.spatial_dims = spatial_dims
        self.rotate = tuple(math.radians(angle) for angle in angles)
        self.zoom = (float(zoom[0]), float(zoom[1]))
        self.shift = float(shift)
        self.flip_prob = float(flip_prob)
        self.label_keys = tuple(label_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        image = batch["image"]
        count, shape = image.shape[0], tuple(image.shape[2:])
        self._check(image)
        to_input = to_device(self._draw(count, shape), image.device)
        padding = batch["image_padding"].to(image.dtype).reshape(count, -1, *[1] * len(shape))
        masks: dict[Hashable, Tensor] = {key: batch[key].to(image.dtype) for key in self.label_keys if key in batch}
        moved = {
            name: torch.empty_like(values, memory_format=torch.contiguous_format) for name, values in masks.items()
        }
        sampled = torch.empty_like(image, memory_format=torch.contiguous_format)
        terms = _grid_terms(to_input, shape)
        for part in _parts(image):
            # x and y are each contiguous in memory, so the addition is fast and grid_sample needs no other layout
            grid = reduce(torch.add, [term[part] for term in terms]).movedim(1, -1)
            background = padding[part]
            # grid_sample fills with zeros, so the background value is subtracted first and added again afterwards
            inside = grid_sample(image[part] - background, grid, "bilinear", "zeros", align_corners=True)
            torch.add(inside, background, out=sampled[part])
            for key, mask in masks.items():
                moved[key][part] = grid_sample(mask[part], grid, "nearest", "zeros", align_corners=True)
        batch |= {"image": sampled, **moved}
        if "affine" not in batch:
            return batch
        affine, axes = batch["affine"], self.spatial_dims
        compose = torch.eye(4, dtype=affine.dtype, device=affine.device).repeat(len(affine), 1, 1)
        compose[:, :axes, :axes] = to_input[:, :, :-1]
        compose[:, :axes, 3] = to_input[:, :, -1]
        return batch | {"affine": affine @ compose}

    def _check(self, image: Tensor) -> None:
        if image.ndim != 2 + self.spatial_dims:
            wanted = "images (B, C, i, j)" if self.spatial_dims == 2 else "volumes (B, C, i, j, k)"
            raise ValueError(
                f"the batch must contain {wanted} with spatial_dims {self.spatial_dims}, got shape {tuple(image.shape)}"
            )
        if self.spatial_dims == 3 and min(image.shape[2:]) < 2:
            # grid_sample would extend a single layer over all positions along its axis
            raise ValueError(f"volumes of shape {tuple(image.shape[2:])} are flat; use spatial_dims 2")

    def _draw(self, count: int, shape: tuple[int, ...]) -> Tensor:
        """Draw the maps from output pixels to input pixels, ``(B, d, d + 1)`` for d spatial dimensions, float64, on the
        CPU."""
        turns = len(self.rotate)
        draws = own_draws(count, turns + 1 + len(shape) + 1, dtype=torch.float64)
        angles = (2 * draws[:, :turns] - 1) * torch.tensor(self.rotate, dtype=torch.float64)
        magnify = self.zoom[0] + draws[:, turns] * (self.zoom[1] - self.zoom[0])
        size = torch.tensor(shape, dtype=torch.float64)
        shift = (2 * draws[:, turns + 1 : -1] - 1) * self.shift * size
        mirror = torch.where(draws[:, -1] < self.flip_prob, -1.0, 1.0)
        return pixel_map(angles, magnify, size, shift, mirror)


class RandRotateZoomBatchd(RandAffineBatchd):
    """Rotate and zoom some images of a batch, each about its own random axis (Taleb 2020, appendix A: alpha and gamma).

    Everything else is as in `RandAffineBatchd`: each image is interpolated only once, with its masks and its affine.

    Args:
        rotate: largest rotation in either direction, degrees.
        rotate_prob: probability that an image is rotated. Volumes rotate about i, j or k with equal probability.
        zoom: smallest and largest magnification.
        zoom_prob: probability that an image is magnified.
        label_keys, spatial_dims: see `RandAffineBatchd`, also for its errors.
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
        check_probabilities(rotate_prob=rotate_prob, zoom_prob=zoom_prob)
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


def pixel_map(
    angles: Tensor, magnify: Tensor, size: Tensor, shift: Tensor | float = 0.0, mirror: Tensor | float = 1.0
) -> Tensor:
    """Map output pixels to input pixels, for images that are rotated and magnified about their centre, flipped and
    shifted: ``(B, d, d + 1)``, float64, a linear part ``(d, d)`` and an offset.

    Args:
        angles: radians, ``(B, 1)`` in a plane, ``(B, 3)`` in a volume.
        magnify: magnification, ``(B,)``.
        size: size of the images, pixels, ``(d,)``.
        shift: shift, pixels, ``(B, d)``.
        mirror: -1 if the first axis is flipped, otherwise 1, ``(B,)``.
    """
    linear = _rotation(angles) / magnify[:, None, None]
    linear[..., 0] *= mirror[:, None] if isinstance(mirror, Tensor) else mirror
    centre = (size - 1) / 2
    offset = centre + shift - linear @ centre
    return torch.cat([linear, offset[..., None]], dim=-1)


def _rotation(angles: Tensor) -> Tensor:
    """Rotation matrices ``(B, 2, 2)`` for angles ``(B, 1)``, or ``R_i R_j R_k``, ``(B, 3, 3)``, for angles ``(B, 3)``."""
    cos, sin = torch.cos(angles), torch.sin(angles)
    if angles.shape[1] == 1:
        (c,), (s,) = cos.unbind(1), sin.unbind(1)
        return torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], dim=-2)
    about = torch.eye(3, dtype=angles.dtype).repeat(3, len(angles), 1, 1)
    for axis, (before, after) in enumerate(((1, 2), (2, 0), (0, 1))):
        about[axis, :, before, before] = about[axis, :, after, after] = cos[:, axis]
        about[axis, :, before, after], about[axis, :, after, before] = -sin[:, axis], sin[:, axis]
    return about[0] @ about[1] @ about[2]


def _grid_terms(to_input: Tensor, shape: tuple[int, ...]) -> list[Tensor]:
    """One term for each axis, whose broadcast sum is the grid for `grid_sample`, ``(B, d, i, j)`` or ``(B, d, i, j, k)``. Its
    coordinates are in [-1, 1]: (x, y) = (j, i), or (k, j, i). `affine_grid` would take longer than the sampling itself.
    """
    scaled = [to_input[:, axis] * (2 / max(side - 1, 1)) for axis, side in enumerate(shape)]
    xyz = torch.stack(scaled[::-1], dim=1)
    terms = []
    for axis, side in enumerate(shape):
        places = xyz[..., axis, None] * torch.arange(side, dtype=torch.float64, device=to_input.device)
        # the constant offset is part of the first term
        places = (places + xyz[..., -1, None] - 1 if axis == 0 else places).to(torch.float32)
        terms.append(places.reshape(*places.shape[:2], *(side if at == axis else 1 for at in range(len(shape)))))
    return terms


def _parts(image: Tensor) -> Iterator[slice]:
    """Divide the batch into parts that fit into a CPU's cache: as many images as it has threads, or more."""
    count = len(image)
    size = max(1, count)
    if image.device.type == "cpu":
        size = torch.get_num_threads() * max(1, _PART // max(1, image[:1].numel()))
    return (slice(start, start + size) for start in range(0, count, size))
