"""Cut pieces from a grid of images and volumes: jigsaw puzzles, relative patch location and predictive coding."""

from __future__ import annotations

import heapq
import math
from collections.abc import Container, Hashable, Mapping, Sequence
from itertools import count as counting
from itertools import product
from typing import Any

import numpy as np
import torch
from monai.transforms import RandomizableTrait, Transform
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import interpolate

from planewise.augmentation import own_draws
from planewise.data.to_device import to_device
from planewise.errors import InputError
from planewise.geometry import predicted_patches


def refuse_small(shape: Sequence[int], sides: Sequence[int], grid: str) -> None:
    """Raise `InputError` if the pieces of an image of this shape would have fewer than two pixels a side."""
    if min(sides) < 2:
        size = " x ".join(str(int(side)) for side in shape)
        raise InputError(f"an image of {size} pixels is too small for {grid}; raise --image_size, or cut fewer pieces")


def cell_sides(shape: Sequence[int], per_side: int) -> tuple[int, ...]:
    """A cell's side along each axis, for an image of this shape, in whole pixels. Remaining pixels stay at the edges."""
    return tuple(int(side) // per_side for side in shape)


def patch_corners(shape: Sequence[int], per_side: int, patch: Sequence[int], places: Tensor, draws: Tensor) -> Tensor:
    """The first pixel of each patch, which has a random position in its cell.

    Args:
        shape: shape of the image, d sides.
        per_side: number of cells along each axis.
        patch: length of a patch along each of the d axes; at most the length of a cell (`cell_sides`).
        places: numbers of cells, ``(..., P)`` int64; the last axis of the grid runs fastest.
        draws: random numbers in [0, 1), ``(..., P, d)``, for the position of each patch in its cell.

    Returns:
        ``(..., P, d)`` int64.
    """
    cells = cell_sides(shape, per_side)
    # the remaining pixels are divided between both edges
    margins = [(int(side) - per_side * cell) // 2 for side, cell in zip(shape, cells, strict=True)]
    rows = torch.stack(torch.unravel_index(places, [per_side] * len(cells)), dim=-1)
    free = torch.tensor([cell - side + 1 for cell, side in zip(cells, patch, strict=True)])
    return torch.tensor(margins) + rows * torch.tensor(cells) + (draws * free).long()


def cut_patches(image: Tensor, corners: Tensor, patch: Sequence[int]) -> Tensor:
    """Cut patches, which may overlap, out of every image.

    Args:
        image: ``(B, C, *spatial)``.
        corners: first pixel of each patch, ``(B, P, d)`` int64, on the image's device.
        patch: length of a patch along each of the d axes.

    Returns:
        ``(B, P, C, *patch)``.
    """
    windows = image
    for axis, side in enumerate(patch):
        windows = windows.unfold(2 + axis, side, 1)
    # a view of the patches at all possible positions; only the selected patches are copied
    windows = windows.movedim(1, 1 + len(patch))
    rows = torch.arange(len(image), device=image.device)[:, None]
    places = (rows, *corners.unbind(-1))
    return windows[places]


class JigsawTilesd(Transform, RandomizableTrait):
    """Make a puzzle from every image of a batch (Noroozi and Favaro 2016; for volumes Taleb 2020, section 3.3).

    The image is divided into a grid of equal cells. A tile is cut out of each cell at a random position and standardised,
    so that edges and brightness do not reveal which tiles are neighbours. Then the tiles are put in the order of a
    permutation, drawn from a fixed set (`choose_permutations`). The network predicts the permutation.

    Reads ``image``, ``(B, C, i, j)``, or ``(B, C, i, j, k)`` for volumes. Writes

    - ``image``: the channels of P tiles, one tile after the other, ``(B, P * C, h, w)`` or ``(B, P * C, h, w, d)``;
    - ``permutation``: the number of the permutation, ``(B,)``, int64.

    Args:
        tiles_per_side: number of tiles along each axis. It is 3 in the paper, for 9 tiles of an image or 27 of a volume.
        num_permutations: number of permutations to distinguish; 1000 in the paper.
        gap: share of a cell's side that its tile does not cover; 0.14 cuts 64 pixels from 74, the paper from 75.
        tile_size: side to which tiles are resampled, pixels, for a network that needs larger ones; None leaves them.
        spatial_dims: 2 for images, 3 for volumes.
        standardize: whether tiles are standardised; False keeps their values.

    Raises:
        InputError: more permutations are requested than there are, or the image is too small for the grid.
    """

    of_pixels = True

    def __init__(
        self,
        tiles_per_side: int = 3,
        num_permutations: int = 1000,
        gap: float = 0.14,
        tile_size: int | None = None,
        spatial_dims: int = 2,
        standardize: bool = True,
    ) -> None:
        self.tiles_per_side = int(tiles_per_side)
        self.gap = float(gap)
        self.tile_size = tile_size
        self.standardize = bool(standardize)
        pieces = self.tiles_per_side**spatial_dims
        self.permutations = torch.from_numpy(choose_permutations(pieces, int(num_permutations)))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        image: Tensor = batch["image"]
        count, pieces = len(image), self.permutations.shape[1]
        tile = tile_sides(image.shape[2:], self.tiles_per_side, self.gap)
        draws = own_draws(count, pieces * len(tile) + 1)
        own = draws[:, 1:].reshape(count, pieces, -1)
        corners = patch_corners(image.shape[2:], self.tiles_per_side, tile, torch.arange(pieces), own)
        number = (draws[:, 0] * len(self.permutations)).long()
        # position s of the puzzle shows tile p(s), so only the corners need to be permuted
        order = self.permutations[number][..., None].expand_as(corners)
        tiles = cut_patches(image, to_device(corners.gather(1, order), image.device), tile)
        tiles = (standardized(tiles, len(tile)) if self.standardize else tiles).flatten(1, 2)
        if self.tile_size is not None and any(side != self.tile_size for side in tile):
            mode = "bilinear" if len(tile) == 2 else "trilinear"
            tiles = interpolate(tiles, size=[self.tile_size] * len(tile), mode=mode, antialias=len(tile) == 2)
        batch |= {"image": tiles, "permutation": to_device(number, image.device)}
        return batch


def tile_sides(shape: Sequence[int], tiles_per_side: int, gap: float) -> tuple[int, ...]:
    """A tile's side along each axis, for an image of this shape, pixels: the cell without its gap; at least two."""
    sides = tuple(cell - round(gap * cell) for cell in cell_sides(shape, tiles_per_side))
    refuse_small(shape, sides, f"{tiles_per_side} tiles a side with a gap of {gap:g} between them")
    return sides


def standardized(tiles: Tensor, spatial_dims: int) -> Tensor:
    """Standardise each tile and channel to mean 0 and standard deviation 1; a tile with a single grey value becomes 0."""
    axes = tuple(range(-spatial_dims, 0))
    centred = tiles - tiles.mean(dim=axes, keepdim=True)
    deviation = centred.square().mean(dim=axes, keepdim=True).sqrt()
    # below this deviation, the tile has a single grey value, apart from rounding
    return centred / torch.where(deviation > 1e-5, deviation, 1.0)


class RelativePatchesd(Transform, RandomizableTrait):
    """Cut the middle patch and another patch out of every image (Taleb 2020, section 3.2; for images Doersch 2015).

    The image is divided into a grid of equal cells. The reference patch is cut out of the middle cell, and the query
    patch out of another cell, which is drawn for each image. Each patch is ``jitter`` voxels smaller than its cell along
    each axis, and at random in it, so that edges do not reveal how patches fit. The network predicts the cell of the query.

    Reads ``image``, ``(B, C, i, j)``, or ``(B, C, i, j, k)`` for volumes. Writes

    - ``image``: ``(B, 2 * C, *patch)``, the channels of the reference and then those of the query;
    - ``place``: the class, ``(B,)``, int64, which numbers all cells but the middle one, the grid's last axis fastest: with 3
      cells a side, one of 26 for a volume, of 8 for an image.

    Args:
        patches_per_side: number of cells along each side; 3 in the paper. It must be odd, so that there is a middle cell.
        jitter: difference between the side of a cell and the side of its patch, voxels; 3 in the paper.

    Raises:
        InputError: there is no middle cell, or the image is too small for the grid.
    """

    of_pixels = True

    def __init__(self, patches_per_side: int = 3, jitter: int = 3) -> None:
        if patches_per_side < 3 or patches_per_side % 2 == 0:
            raise InputError(
                f"--patches_per_side must be odd and at least 3, to have a middle patch, got {patches_per_side}"
            )
        self.patches_per_side = int(patches_per_side)
        self.jitter = int(jitter)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        image: Tensor = batch["image"]
        count, shape = len(image), image.shape[2:]
        patch = tuple(cell - self.jitter for cell in cell_sides(shape, self.patches_per_side))
        refuse_small(shape, patch, f"{self.patches_per_side} patches a side with a jitter of {self.jitter}")
        cells = self.patches_per_side ** len(shape)
        draws = own_draws(count, 2 * len(shape) + 1)
        place = (draws[:, 0] * (cells - 1)).long()
        pair = torch.stack([torch.full_like(place, cells // 2), place + (place >= cells // 2)], dim=1)
        corners = patch_corners(shape, self.patches_per_side, patch, pair, draws[:, 1:].reshape(count, 2, -1))
        patches = cut_patches(image, to_device(corners, image.device), patch).flatten(1, 2)
        batch |= {"image": patches, "place": to_device(place, image.device)}
        return batch


class OverlappingPatchesd(Transform, RandomizableTrait):
    """Cut every image of a batch into overlapping patches, and draw the negatives for each prediction (contrastive
    predictive coding, Taleb 2020, section 3.1).

    The network predicts patches in the rows after a patch (`planewise.geometry.predicted_patches`). Each prediction must
    identify its patch among negatives, drawn without replacement from the other positions in the same image.

    Reads ``image``, ``(B, C, i, j)``, or ``(B, C, i, j, k)`` for volumes. Writes

    - ``image``: the channels of P patches, one patch after the other, with the last axis of the grid fastest,
      ``(B, P * C, h, w)`` or ``(B, P * C, h, w, d)``;
    - ``candidates``: numbers of the candidate patches for each of Q predictions, with the right patch first,
      ``(B, Q, 1 + num_negatives)``, int64;
    - ``ahead``: number of rows from the context's patch to the predicted patch, ``(B, Q)``, int64.

    Args:
        patches_per_side: n, the number of patches along each axis.
        overlap: share of a patch's side that the next patch also covers.
        rows_ahead: number of predicted rows.
        num_negatives: number of negatives for each prediction.
        spatial_dims: 2 for images, 3 for volumes.

    Raises:
        InputError: there are too few rows or patches for these settings, or the image is too small.
    """

    of_pixels = True

    def __init__(
        self,
        patches_per_side: int = 4,
        overlap: float = 0.5,
        rows_ahead: int = 2,
        num_negatives: int = 16,
        spatial_dims: int = 3,
    ) -> None:
        self.patches_per_side = int(patches_per_side)
        self.overlap = float(overlap)
        self.num_negatives = int(num_negatives)
        self.patches = self.patches_per_side**spatial_dims
        for name, value, most in (
            ("rows_ahead", int(rows_ahead), self.patches_per_side - 1),
            ("num_negatives", self.num_negatives, self.patches - 1),
        ):
            if value > most:
                raise InputError(f"--{name} must be at most {most} with {patches_per_side} patches a side, got {value}")
        self.predicted = predicted_patches(self.patches_per_side, spatial_dims, int(rows_ahead))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        image: Tensor = batch["image"]
        count, device, shape, number = len(image), image.device, image.shape[2:], self.patches_per_side
        # the overlap is as exact as whole pixels allow
        size = tuple(int(side / (1 + (number - 1) * (1 - self.overlap))) for side in shape)
        refuse_small(shape, size, f"{number} patches a side")
        # the first and the last patch touch the edges of the image
        starts = [
            [round(rank * (side - patch) / (number - 1)) for rank in range(number)]
            for side, patch in zip(shape, size, strict=True)
        ]
        corners = torch.tensor(list(product(*starts)))
        patches = cut_patches(image, to_device(corners.expand(count, -1, -1), device), size)
        right = self.predicted.patch[:, None].expand(count, -1, -1)
        # the other patches in random order, numbered without the right patch
        others = own_draws(count, len(self.predicted.patch), self.patches - 1).argsort(dim=2)[..., : self.num_negatives]
        batch |= {
            "image": patches.flatten(1, 2),
            "candidates": to_device(torch.cat([right, others + (others >= right)], dim=2), device),
            "ahead": to_device(self.predicted.ahead.expand(count, -1), device),
        }
        return batch


def choose_permutations(pieces: int, count: int, seed: int = 0) -> NDArray[np.int64]:
    """Choose permutations with large Hamming distances, one after the other (Noroozi and Favaro 2016, Algorithm 1).

    The first permutation is random. Each further permutation is the one with the largest sum of distances to the chosen
    permutations, ``argmax_p sum_c H(p, c)``, among those not yet chosen. Ties are broken at random.

    The paper enumerates all ``pieces!`` permutations, which is impossible for 27 pieces. Let ``n`` be the number of chosen
    permutations, and ``N_sv`` the number of those with piece ``v`` in position ``s``. Then the sum is
    ``sum_s (n - N_(s p(s)))``, and finding the smallest ``sum_s N_(s p(s))`` is an assignment problem, which SciPy solves.

    Returns:
        Shape ``(count, pieces)``, with different rows: entry ``[n, s]`` is the piece in position ``s`` of puzzle ``n``.

    Raises:
        InputError: more permutations are requested than there are.
    """
    if pieces < 2 or count < 2:
        raise InputError(f"a puzzle needs at least two pieces and two permutations, got {pieces} and {count}")
    if count > math.factorial(pieces):
        raise InputError(
            f"{pieces} pieces have only {math.factorial(pieces)} orders, not {count}; lower --num_permutations"
        )
    generator = np.random.default_rng(seed)
    chosen: dict[tuple[int, ...], None] = {tuple(generator.permutation(pieces).tolist()): None}
    there = np.zeros((pieces, pieces))
    places = np.arange(pieces)
    last = next(iter(chosen))
    while len(chosen) < count:
        there[places, last] += 1
        # the random numbers of a permutation add up to less than one, so they only break ties
        last = _cheapest(there + generator.random(there.shape) / pieces, chosen)
        chosen[last] = None
    return np.array(list(chosen), dtype=np.int64)


def _cheapest(cost: NDArray[np.float64], excluded: Container[tuple[int, ...]]) -> tuple[int, ...]:
    """The permutation ``p`` with the lowest ``sum_s cost[s, p(s)]`` among those that are not excluded (Murty 1968).

    If the cheapest permutation of a set is excluded, the cheapest of each part of the rest is a new candidate: part s
    contains the permutations that agree with the excluded one before position s and differ from it at position s.
    """
    number = counting()
    candidates: list[tuple[float, int, tuple[int, ...], NDArray[np.float64], int]] = []

    def add(costs: NDArray[np.float64], fixed: int) -> None:
        try:
            rows, columns = linear_sum_assignment(costs)
        except ValueError:  # this part contains no permutation
            return
        found = tuple(columns.tolist())
        heapq.heappush(candidates, (float(costs[rows, columns].sum()), next(number), found, costs, fixed))

    add(cost, 0)
    while True:
        _, _, found, costs, fixed = heapq.heappop(candidates)
        if found not in excluded:
            return found
        for place in range(fixed, len(cost)):
            part = costs.copy()
            part[place, found[place]] = math.inf
            add(part, place)
            # the permutations of all following parts agree with this one at this position
            costs = costs.copy()
            costs[place, np.arange(len(cost)) != found[place]] = math.inf
