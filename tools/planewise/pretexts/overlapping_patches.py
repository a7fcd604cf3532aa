"""Cut images and volumes into overlapping patches, for a network that predicts the next rows of patches."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import product
from typing import Any

import torch
from monai.transforms import RandomizableTrait, Transform
from torch import Tensor

from planewise.augmentation import own_draws
from planewise.data.to_device import to_device
from planewise.errors import InputError
from planewise.geometry import predicted_patches
from planewise.pretexts.grid_patches import cut_patches, refuse_small

_REMEDY = "raise --image_size, or lower --patches_per_side"


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

    input_name, input_remedy = "patches", _REMEDY

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
                raise InputError(
                    f"--{name} must be at most {most} with {patches_per_side} patches a side, got {value}; lower it, or "
                    "raise --patches_per_side"
                )
        self.predicted = predicted_patches(self.patches_per_side, spatial_dims, int(rows_ahead))

    def network_side(self, shape: Sequence[int]) -> int:
        """Smallest side, in pixels, of the patches that the network gets from an image of this shape (`patch_places`)."""
        return min(patch_places(shape, self.patches_per_side, self.overlap)[0])

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        image: Tensor = batch["image"]
        count, device = len(image), image.device
        size, corners = patch_places(image.shape[2:], self.patches_per_side, self.overlap)
        patches = cut_patches(image, to_device(corners.expand(count, -1, -1), device), size)
        batch |= {
            "image": patches.flatten(1, 2),
            "candidates": to_device(self._candidates(count), device),
            "ahead": to_device(self.predicted.ahead.expand(count, -1), device),
        }
        return batch

    def _candidates(self, count: int) -> Tensor:
        """Draw the candidates of each prediction, ``(B, Q, 1 + num_negatives)``, on the CPU."""
        right = self.predicted.patch[:, None].expand(count, -1, -1)
        # the other patches in random order, numbered without the right patch
        others = own_draws(count, len(self.predicted.patch), self.patches - 1).argsort(dim=2)[..., : self.num_negatives]
        return torch.cat([right, others + (others >= right)], dim=2)


def patch_places(shape: Sequence[int], patches_per_side: int, overlap: float) -> tuple[tuple[int, ...], Tensor]:
    """Place a grid of overlapping patches on the whole image, of d sides.

    Returns:
        The d sides of a patch, at least two pixels, and the first pixel of each of the n^d patches, ``(n^d, d)`` int64, with
        the last axis fastest. The overlap is as exact as whole pixels allow.
    """
    size = tuple(int(side / (1 + (patches_per_side - 1) * (1 - overlap))) for side in shape)
    refuse_small(shape, size, f"{patches_per_side} patches a side", _REMEDY)
    # the first and the last patch touch the edges of the image
    starts = [
        [round(number * (side - patch) / (patches_per_side - 1)) for number in range(patches_per_side)]
        for side, patch in zip(shape, size, strict=True)
    ]
    return size, torch.tensor(list(product(*starts)))
