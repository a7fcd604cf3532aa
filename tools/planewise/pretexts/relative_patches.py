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
from planewise.pretexts.grid_patches import cell_sides, cut_patches, patch_corners


class RelativePatchesd(Transform, RandomizableTrait):
    """Cut the middle patch and another patch out of every image (Taleb 2020, section 3.2; for images Doersch 2015).

    The image is divided into a grid of equal cells. The reference patch is cut out of the middle cell, and the query
    patch out of another cell, which is drawn for each image. Each patch is ``jitter`` voxels smaller than its cell along
    each axis, and has a random position in it. Gaps of random widths therefore separate neighbours, so their edges do
    not reveal how they fit. The network predicts the cell from which the query was cut.

    Reads ``image``, ``(B, C, i, j)``, or ``(B, C, i, j, k)`` for volumes. Writes

    - ``image``: ``(B, 2 * C, *patch)``, the channels of the reference and then those of the query;
    - ``place``: the class (`cell_of_class`), ``(B,)``, int64: one of 26 for a volume, or of 8 for an image, if the grid
      has 3 cells a side.

    Random numbers come from torch's global generator on the CPU, as in `planewise.augmentation`.

    Args:
        patches_per_side: number of cells along each side; 3 in the paper. It must be odd, so that there is a middle cell.
        jitter: difference between the side of a cell and the side of its patch, voxels; 3 in the paper.

    Raises:
        InputError: there is no middle cell, or the image is too small for the grid.
    """

    input_name, input_remedy = "patches", "raise --image_size, or lower --patches_per_side or --patch_jitter"

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
    """A patch's side along each axis, for an image of this shape, voxels: the cell without the jitter.

    Raises:
        InputError: a patch would have fewer than two voxels a side.
    """
    sides = tuple(cell - jitter for cell in cell_sides(shape, patches_per_side))
    if min(sides) < 2:
        raise InputError(
            f"an image of {' x '.join(str(int(side)) for side in shape)} voxels is too small for {patches_per_side} patches "
            f"a side with a jitter of {jitter}: the side of a patch would be {max(min(sides), 0)} voxels; raise "
            "--image_size, or lower --patches_per_side or --patch_jitter"
        )
    return sides


def cell_of_class(place: Tensor, cells: int) -> Tensor:
    """The number of a class's cell. The classes are all cells but the middle one; the grid's last axis runs fastest.

    Args:
        place: classes, int64, 0 to ``cells - 2``.
        cells: number of cells in the grid, an odd number.
    """
    return place + (place >= cells // 2)
