"""Make jigsaw puzzles from images and volumes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.transforms import RandomizableTrait, Transform
from torch import Tensor
from torch.nn.functional import interpolate

from planewise.augmentation import own_draws
from planewise.data.to_device import to_device
from planewise.pretexts.grid_patches import cell_sides, cut_patches, patch_corners, refuse_small
from planewise.pretexts.permutations import choose_permutations

_REMEDY = "raise --image_size or --tile_size, or lower --tiles_per_side or --tile_gap"


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
        gap: share of a cell's side that its tile does not cover. The paper cuts tiles of 64 pixels from cells of 75; a
            gap of 0.14 cuts 64 pixels from 74.
        tile_size: side to which tiles are resampled, pixels, for a network that needs larger tiles; None leaves them
            unchanged.
        spatial_dims: 2 for images, 3 for volumes.
        standardize: whether tiles are standardised; False keeps their values.

    Raises:
        InputError: more permutations are requested than there are, or the image is too small for the grid.
    """

    input_name, input_remedy = "tiles", _REMEDY

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

    def network_side(self, shape: Sequence[int]) -> int:
        """Smallest side, in pixels, of the tiles that the network gets from an image of this shape (`tile_sides`)."""
        tile = tile_sides(shape, self.tiles_per_side, self.gap)
        return min(tile) if self.tile_size is None else int(self.tile_size)

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
    refuse_small(shape, sides, f"{tiles_per_side} tiles a side with a gap of {gap:g} between them", _REMEDY)
    return sides


def standardized(tiles: Tensor, spatial_dims: int) -> Tensor:
    """Standardise each tile and channel to mean 0 and standard deviation 1; a tile with a single grey value becomes 0."""
    axes = tuple(range(-spatial_dims, 0))
    centred = tiles - tiles.mean(dim=axes, keepdim=True)
    deviation = centred.square().mean(dim=axes, keepdim=True).sqrt()
    # below this deviation, the tile has a single grey value, apart from rounding
    return centred / torch.where(deviation > 1e-5, deviation, 1.0)
