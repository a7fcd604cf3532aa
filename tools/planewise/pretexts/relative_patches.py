"""Pairs of patches, and where the one lies as seen from the other."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.transforms import Transform
from torch import Tensor

from planewise.augmentation import own_draws
from planewise.data.to_device import to_device
from planewise.errors import InputError
from planewise.pretexts.grid_patches import cell_sides, cut_patches, patch_corners


class RelativePatchesd(Transform):
    """Cut the middle patch and another one out of every image of a batch (Taleb 2020, section 3.2; Doersch 2015 in a plane).

    The image is divided into a grid of equal cells. A patch is cut out of the cell in the middle, the reference, and one out
    of another cell, the query, which is drawn anew for each image. Each lies at a random place of its cell, ``jitter`` voxels
    smaller than the cell along each axis, so that gaps of random widths are between neighbours and edges do not tell how they
    fit. The network is asked from which of the other cells the query was cut.

    Reads ``image``, ``(B, C, i, j)``, or ``(B, C, i, j, k)`` of volumes. Writes

    - ``image``: ``(B, 2 * C, *patch)``, the channels of the middle patch and then those of the query;
    - ``place``: ``(B,)``, int64, the class (`cell_of_class`): 26 of a volume, 8 of a plane where the grid has 3 cells a side;
    - ``original``: the image as it came.

    Draws come from torch's global generator on the CPU, as those of `planewise.augmentation`.

    Args:
        patches_per_side: odd, so that there is a cell in the middle; the paper's is 3.
        jitter: voxels of a cell's side that its patch leaves free; the paper's is 3.

    Raises:
        InputError: there is no cell in the middle, or the image is too small for the grid.
    """

    def __init__(self, patches_per_side: int = 3, jitter: int = 3) -> None:
        if patches_per_side < 3 or patches_per_side % 2 == 0:
            raise InputError(
                f"--patches_per_side is odd and at least 3, for a patch in the middle, not {patches_per_side}"
            )
        self.patches_per_side = int(patches_per_side)
        self.jitter = int(jitter)

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
        batch |= {"image": patches, "place": to_device(place, image.device), "original": image}
        return batch


def patch_sides(shape: Sequence[int], patches_per_side: int, jitter: int) -> tuple[int, ...]:
    """Sides of a patch along each axis of an image of this shape, voxels: a cell's without the jitter.

    Raises:
        InputError: less than two voxels of a cell remain.
    """
    sides = tuple(cell - jitter for cell in cell_sides(shape, patches_per_side))
    if min(sides) < 2:
        raise InputError(
            f"an image of {' x '.join(str(int(side)) for side in shape)} voxels is too small for {patches_per_side} patches "
            f"a side with a jitter of {jitter}: a patch would have {max(min(sides), 0)} voxels a side; raise --image_size, "
            "or lower --patches_per_side or --patch_jitter"
        )
    return sides


def cell_of_class(place: Tensor, cells: int) -> Tensor:
    """The cell of a class: all but the one in the middle, in their order, the last axis of the grid running fastest.

    Args:
        place: classes, int64, 0 to ``cells - 2``.
        cells: of the grid, an odd number.
    """
    return place + (place >= cells // 2)
