"""Cut pairs of patches, whose relative location is the target."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.transforms import RandomizableTrait, Transform
from torch import Tensor

from planewise.augmentation import own_draws
from planewise.data.to_device import to_device
from planewise.errors import InputError
from planewise.pretexts.grid_patches import cell_sides, cut_patches, patch_corners, refuse_small

_REMEDY = "raise --image_size, or lower --patches_per_side or --patch_jitter"


class RelativePatchesd(Transform, RandomizableTrait):
    """Cut the middle patch and another patch out of every image (Taleb 2020, section 3.2; for images Doersch 2015).

    The image is divided into a grid of equal cells. The reference patch is cut out of the middle cell, and the query
    patch out of another cell, which is drawn for each image. Each patch is ``jitter`` voxels smaller than its cell along
    each axis, and has a random position in it, so that edges do not reveal how patches fit. The network predicts the cell of
    the query.

    Reads ``image``, ``(B, C, i, j)``, or ``(B, C, i, j, k)`` for volumes. Writes

    - ``image``: ``(B, 2 * C, *patch)``, the channels of the reference and then those of the query;
    - ``place``: the class (`cell_of_class`), ``(B,)``, int64: one of 26 for a volume, or of 8 for an image, if the grid
      has 3 cells a side.

    Args:
        patches_per_side: number of cells along each side; 3 in the paper. It must be odd, so that there is a middle cell.
        jitter: difference between the side of a cell and the side of its patch, voxels; 3 in the paper.

    Raises:
        InputError: there is no middle cell, or the image is too small for the grid.
    """

    input_name, input_remedy = "patches", _REMEDY

    def __init__(self, patches_per_side: int = 3, jitter: int = 3) -> None:
        if patches_per_side < 3 or patches_per_side % 2 == 0:
            raise InputError(
                "--patches_per_side must be odd and at least 3, so that there is a middle patch, got "
                f"{patches_per_side}"
            )
        self.patches_per_side = int(patches_per_side)
        self.jitter = int(jitter)

    def network_side(self, shape: Sequence[int]) -> int:
        """Smallest side, in voxels, of the patches that the network gets from an image of this shape (`patch_sides`)."""
        return min(patch_sides(shape, self.patches_per_side, self.jitter))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        image: Tensor = batch["image"]
        count, shape = len(image), image.shape[2:]
        patch = patch_sides(shape, self.patches_per_side, self.jitter)
        cells = self.patches_per_side ** len(shape)
        draws = own_draws(count, 2 * len(shape) + 1)
        place = (draws[:, 0] * (cells - 1)).long()
        pair = torch.stack([torch.full_like(place, cells // 2), cell_of_class(place, cells)], dim=1)
        corners = patch_corners(shape, self.patches_per_side, patch, pair, draws[:, 1:].reshape(count, 2, -1))
        patches = cut_patches(image, to_device(corners, image.device), patch).flatten(1, 2)
        batch |= {"image": patches, "place": to_device(place, image.device)}
        return batch


def patch_sides(shape: Sequence[int], patches_per_side: int, jitter: int) -> tuple[int, ...]:
    """A patch's side along each axis, for an image of this shape, voxels: the cell without the jitter; at least two."""
    sides = tuple(cell - jitter for cell in cell_sides(shape, patches_per_side))
    refuse_small(shape, sides, f"{patches_per_side} patches a side with a jitter of {jitter}", _REMEDY)
    return sides


def cell_of_class(place: Tensor, cells: int) -> Tensor:
    """The numbers of the cells of classes 0 to ``cells - 2``: all cells but the middle one, the grid's last axis fastest."""
    return place + (place >= cells // 2)
