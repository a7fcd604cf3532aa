"""Move the pixels of a whole batch at random, on the batch's device: rotate, scale, shift, flip and crop its images."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import partial, reduce
from typing import Any

import torch
from monai.transforms import RandomizableTrait, Transform
from torch import Tensor
from torch.nn.functional import grid_sample

from planewise.augmentation.each_image import own_draws
from planewise.data.to_device import to_device
from planewise.geometry import PLANE_ROTATIONS, VOLUME_ROTATIONS, flip_matrix, rotate90, rotate90_matrix

#: Number of pixels that a CPU core processes at a time, so that they fit into its cache: two to three times as fast.
_PART = 2**16


def moving(batch: Mapping[Hashable, Any]) -> list[str]:
    """The keys of what moves: the image and, if the ``label`` has as many axes, the masks; other labels are classes."""
    is_mask = isinstance(batch.get("label"), Tensor) and batch["label"].ndim == batch["image"].ndim
    return ["image", "label"] if is_mask else ["image"]


class RandAffineBatchd(Transform, RandomizableTrait):
    """Rotate, scale, shift and flip every image of a batch by its own random amount, in its own plane or volume.

    A batch contains ``image`` ``(B, C, i, j)`` or, for volumes, ``(B, C, i, j, k)``, ``image_padding`` ``(B, C)`` and, if
    targets need it, ``affine`` ``(B, 4, 4)``. The channels may be the slices of a stack, which then move together.
    Images are sampled (bi- or tri-)linearly, and masks under ``label``, ``(B, 1, i, j)``, by nearest neighbour. Areas
    outside the image are filled with the slice's own background (0 for masks). The affines are composed with the
    transform, so targets that are computed afterwards are exact. Pixels must be isotropic.

    Args:
        rotate: largest rotation in either direction, degrees. For volumes, it is one number for all three axes, or one for
            each of the axes i, j and k. The rotation about k is applied first, and the rotation about i last
            (``R_i R_j R_k``, as in MONAI's `create_rotate`).
        zoom: smallest and largest magnification.
        shift: largest shift in either direction along each axis, as a share of the image's size.
        flip_prob: probability of a flip along the first axis (left-right for an image shown upright).
        spatial_dims: 2 for images, 3 for volumes.
    """

    def __init__(
        self,
        rotate: float | Sequence[float] = 15.0,
        zoom: Sequence[float] = (0.9, 1.1),
        shift: float = 0.0,
        flip_prob: float = 0.0,
        spatial_dims: int = 2,
    ) -> None:
        # a plane rotates about one axis, a volume about three
        turns = 1 if spatial_dims == 2 else 3
        angles = list(rotate) if isinstance(rotate, Sequence) else [rotate] * turns
        self.spatial_dims = spatial_dims
        self.rotate = tuple(math.radians(angle) for angle in angles)
        self.zoom = (float(zoom[0]), float(zoom[1]))
        self.shift = float(shift)
        self.flip_prob = float(flip_prob)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        image = batch["image"]
        count, shape = image.shape[0], tuple(image.shape[2:])
        to_input = to_device(self._draw(count, shape), image.device)
        padding = batch["image_padding"].to(image.dtype).reshape(count, -1, *[1] * len(shape))
        masks: dict[Hashable, Tensor] = {key: batch[key].to(image.dtype) for key in moving(batch)[1:]}
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

    def _draw(self, count: int, shape: tuple[int, ...]) -> Tensor:
        """Draw the maps from output to input pixels, ``(B, d, d + 1)`` for d spatial dimensions, float64, on the CPU."""
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
        spatial_dims: see `RandAffineBatchd`.
    """

    def __init__(
        self,
        rotate: float = 180.0,
        rotate_prob: float = 0.5,
        zoom: Sequence[float] = (0.8, 1.2),
        zoom_prob: float = 0.2,
        spatial_dims: int = 2,
    ) -> None:
        super().__init__(float(rotate), zoom, spatial_dims=spatial_dims)
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
    """One term for each axis, whose broadcast sum is the grid for `grid_sample`, ``(B, d, i, j)`` or ``(B, d, i, j, k)``,
    in [-1, 1]: (x, y) = (j, i), or (k, j, i). `affine_grid` would take longer than the sampling itself."""
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


class RandCropBatchd(Transform, RandomizableTrait):
    """Crop a box from every image of a batch. All boxes have the same size, and each has its own random position.

    A batch contains ``image`` ``(B, C, i, j)`` or, for volumes, ``(B, C, i, j, k)``, masks, and, if targets need it,
    ``affine`` ``(B, 4, 4)``, which is updated to the position of the box.

    Args:
        size: size of the box along each axis, voxels.

    Raises:
        ValueError: the box is larger than the images, or has another number of axes.
    """

    def __init__(self, size: Sequence[int]) -> None:
        self.size = tuple(int(side) for side in size)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        image = batch["image"]
        shape = tuple(image.shape[2:])
        if len(shape) != len(self.size) or any(box > side for box, side in zip(self.size, shape, strict=True)):
            raise ValueError(f"the box must fit into images of shape {shape}, got a box of {self.size}")
        room = torch.tensor([side - box for box, side in zip(self.size, shape, strict=True)])
        draws = own_draws(len(image), len(shape), dtype=torch.float64)
        start = (draws * (room + 1)).long().minimum(room)
        corner = to_device(start, image.device)
        for key in moving(batch):
            batch[key] = boxes(batch[key], corner, self.size)
        if "affine" in batch:
            affine = batch["affine"].clone()
            offset = affine[:, :3, : len(shape)] @ corner.to(affine.dtype)[..., None]
            affine[:, :3, 3] += offset[..., 0]
            batch["affine"] = affine
        return batch


def boxes(images: Tensor, corner: Tensor, size: Sequence[int]) -> Tensor:
    """Crop one box from every image, all in one step.

    Args:
        images: ``(B, C, i, j)`` or ``(B, C, i, j, k)``.
        corner: first voxel of each box, ``(B, axes)`` int64, on the same device.
        size: size of the boxes along each axis, voxels.
    """
    for axis, side in enumerate(size):
        at = corner[:, axis, None] + torch.arange(side, device=corner.device)
        index = at.reshape(len(images), *[1] * (axis + 1), side, *[1] * (len(size) - axis - 1))
        images = images.gather(axis + 2, index.expand(*images.shape[: axis + 2], side, *images.shape[axis + 3 :]))
    return images


class RandFlipRotate90Batchd(Transform, RandomizableTrait):
    """Flip every image of a batch along random axes, and rotate it by 90, 180 or 270 degrees about a random axis.

    A batch contains ``image`` ``(B, C, i, j)`` or, for volumes, ``(B, C, i, j, k)``, masks, and ``affine`` ``(B, 4, 4)``
    if targets need it. Voxels are only permuted, never interpolated, and the affines change with them.

    Args:
        flip_prob: probability of a flip along each axis; the axes are drawn independently.
        rotate90_prob: probability of a rotation; all those of `rotation_of_class` are equally likely.
    """

    def __init__(self, flip_prob: float = 0.5, rotate90_prob: float = 0.0) -> None:
        self.flip_prob, self.rotate90_prob = float(flip_prob), float(rotate90_prob)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        shape = tuple(batch["image"].shape[2:])
        flips, turns = self._draw(len(batch["image"]), len(shape))
        for axis, side in enumerate(shape):
            chosen = flips[:, axis].nonzero()[:, 0]
            self._move(batch, chosen, partial(torch.flip, dims=[axis + 2]), flip_matrix(axis, side))
        for turn in sorted(set(turns.tolist()) - {0}):
            chosen = (turns == turn).nonzero()[:, 0]
            self._move(batch, chosen, partial(rotate90, rotation=turn), rotate90_matrix(turn, shape))
        return batch

    def _draw(self, count: int, axes: int) -> tuple[Tensor, Tensor]:
        """Draw whether each axis is flipped, ``(B, axes)``, and the class of the rotation, ``(B,)``, on the CPU."""
        draws = own_draws(count, axes + 2, dtype=torch.float64)
        others = (PLANE_ROTATIONS if axes == 2 else VOLUME_ROTATIONS) - 1
        turns = 1 + (draws[:, -1] * others).long().clamp(max=others - 1)
        return draws[:, :axes] < self.flip_prob, torch.where(draws[:, -2] < self.rotate90_prob, turns, 0)

    def _move(
        self, batch: dict[Hashable, Any], chosen: Tensor, move: Callable[[Tensor], Tensor], matrix: Tensor
    ) -> None:
        """Transform the chosen images, masks and affines of a batch; the input tensors stay unchanged."""
        if not len(chosen):
            return
        rows = to_device(chosen, batch["image"].device)
        for key in moving(batch):
            batch[key] = batch[key].index_copy(0, rows, move(batch[key].index_select(0, rows)))
        if "affine" in batch:
            affine = batch["affine"]
            moved = affine.index_select(0, rows) @ to_device(matrix.to(affine.dtype), affine.device)
            batch["affine"] = affine.index_copy(0, rows, moved)
