"""Flip images of a batch and rotate them by multiples of 90 degrees at random, on the batch's device."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from monai.transforms import RandomizableTrait, Transform
from torch import Tensor

from planewise.augmentation.draws import check_probabilities, own_draws
from planewise.data.to_device import to_device
from planewise.geometry import PLANE_ROTATIONS, VOLUME_ROTATIONS, flip_matrix, rotate90, rotate90_matrix


class RandFlipRotate90Batchd(Transform, RandomizableTrait):
    """Flip every image of a batch along random axes, and rotate it by 90, 180 or 270 degrees about a random axis.

    A batch contains ``image`` ``(B, C, i, j)`` or, for volumes, ``(B, C, i, j, k)``, masks, and ``affine`` ``(B, 4, 4)``
    if targets need it. Voxels are only permuted, never interpolated, and the affines change with them.

    Args:
        flip_prob: probability of a flip along each axis; the axes are drawn independently.
        rotate90_prob: probability of a rotation; all those of `rotation_of_class` are equally likely.
        label_keys: masks to transform with the image; those that a batch lacks are skipped.

    Raises:
        ValueError: a probability is outside [0, 1], or rotations are requested for images whose sides differ.
    """

    def __init__(
        self, flip_prob: float = 0.5, rotate90_prob: float = 0.0, label_keys: Sequence[str] = ("label",)
    ) -> None:
        check_probabilities(flip_prob=flip_prob, rotate90_prob=rotate90_prob)
        self.flip_prob, self.rotate90_prob = float(flip_prob), float(rotate90_prob)
        self.label_keys = tuple(label_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        shape = tuple(batch["image"].shape[2:])
        if self.rotate90_prob and len(set(shape)) > 1:
            raise ValueError(f"all sides of images must be equal for rotations by 90 degrees, got shape {shape}")
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
        for key in ("image", *self.label_keys):
            if key in batch:
                batch[key] = batch[key].index_copy(0, rows, move(batch[key].index_select(0, rows)))
        if "affine" in batch:
            affine = batch["affine"]
            moved = affine.index_select(0, rows) @ to_device(matrix.to(affine.dtype), affine.device)
            batch["affine"] = affine.index_copy(0, rows, moved)
