"""Make pairs of slices from a stack, with the order of the two slices as the target."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.transforms import Transform

from planewise.data.datalist import slice_position
from planewise.errors import InputError


class SlicePositiond(Transform):
    """Write an item's position in its stack (`slice_position`) under ``position``, as a float32 tensor without axes."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item: dict[Any, Any] = dict(data)
        item["position"] = torch.tensor(slice_position(item), dtype=torch.float32)
        return item


class SlicePairsd(Transform):
    """Make pairs from the slices of a batch, for slice ordering (Zhang, P. et al. 2017).

    The slices come from `planewise.data.PairSampler`, so neighbours form a pair.

    Reads ``image`` ``(2B, 1, i, j)`` and ``position`` ``(2B,)``. Writes ``image`` ``(B, 2, i, j)``, with the two slices
    as its channels, and ``first_is_nearer`` ``(B,)``, float32: 1 if the first slice has the lower position, otherwise 0.

    Raises:
        InputError: the number of slices is odd, or an image has several channels.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        image, position = batch["image"], batch["position"]
        if len(image) % 2 or image.shape[1] != 1:
            raise InputError(
                f"pairs need an even number of single-channel slices, got {len(image)} slices of {image.shape[1]} "
                "channels; sample them with planewise.data.PairSampler"
            )
        first, second = position.unflatten(0, (-1, 2)).unbind(dim=1)
        batch["image"] = image.squeeze(1).unflatten(0, (-1, 2))
        batch["first_is_nearer"] = (first < second).to(torch.float32)
        return batch
