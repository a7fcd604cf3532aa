"""Find the patches of a grid from which a network predicts the next rows (Taleb 2020, section 3.1)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class PredictedPatches(NamedTuple):
    """Q predictions: the patch of the context, the number of rows ahead, and the predicted patch, each ``(Q,)`` int64."""

    context: Tensor
    ahead: Tensor
    patch: Tensor


def inverted_pyramids(patches_per_side: int, spatial_dims: int) -> tuple[Tensor, Tensor]:
    """The context of every patch that has a row after it: an inverted pyramid of the patch and earlier patches.

    Rows follow each other along the first axis; patches are numbered with the last axis fastest. The context of patch
    ``(i, j, k)`` is all ``(u, v, w)`` in the grid with ``u <= i``, ``|v - j| <= i - u`` and ``|w - k| <= i - u``.

    Args:
        patches_per_side: number n of patches along each axis.
        spatial_dims: number d of axes, 2 or 3.

    Returns:
        The numbers of the patches in each context, ``(M, T)`` int64, and the length of each context, ``(M,)`` int64.
        The patches start with the first row and end with the context's own patch; a context shorter than T is padded
        with its own patch. There are ``M = (n - 1) n^(d - 1)`` contexts, and context m belongs to patch m.
    """
    sides = [torch.arange(patches_per_side)] * spatial_dims
    places = torch.cartesian_prod(*sides).reshape(-1, spatial_dims)
    own = torch.arange(len(places) - len(places) // patches_per_side)
    above = places[own, None, 0] - places[None, :, 0]
    beside = (places[own, None, 1:] - places[None, :, 1:]).abs().amax(dim=2)
    inside = (above >= 0) & (beside <= above)
    length = inside.sum(dim=1)
    # numbers increase row by row, so a stable sort keeps the first row first and the context's own patch last
    numbers = (~inside).long().argsort(dim=1, stable=True)[:, : int(length.max())]
    filled = torch.arange(numbers.shape[1]) >= length[:, None]
    return torch.where(filled, own[:, None], numbers), length


def predicted_patches(patches_per_side: int, spatial_dims: int, rows_ahead: int) -> PredictedPatches:
    """Pair every patch with the patches directly after it in the next 1 to ``rows_ahead`` rows of the grid.

    Args:
        patches_per_side, spatial_dims: see `inverted_pyramids`.
        rows_ahead: maximum number of rows ahead, smaller than ``patches_per_side``.
    """
    row = patches_per_side ** (spatial_dims - 1)
    context = torch.arange((patches_per_side - 1) * row).repeat_interleave(rows_ahead)
    ahead = torch.arange(1, rows_ahead + 1).repeat(len(context) // rows_ahead)
    patch = context + ahead * row
    kept = patch < patches_per_side * row
    return PredictedPatches(context[kept], ahead[kept], patch[kept])
