"""Make two random views of every slice, for methods that learn from their similarity."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import torch
from monai.transforms import RandomizableTrait, Transform

from planewise.augmentation import whole_batches


class TwoViewsd(Transform, RandomizableTrait):
    """Make two views of each slice or photograph, as channels of ``image`` (SimCLR, Chen 2020; BYOL, Grill 2020).

    Reads ``image`` ``(B, C, i, j)`` and the inputs of the view's transforms. Writes ``image`` ``(B, 2 C, i, j)``: the
    channels of one random view, then those of another. Everything else in the batch stays unchanged.

    Args:
        view: batch transforms that make a view (`planewise.augmentation`), called twice.
    """

    def __init__(self, view: Callable[[dict[Hashable, Any]], dict[Hashable, Any]]) -> None:
        self.view = whole_batches(view)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        batch["image"] = torch.cat([self.view(dict(batch))["image"] for _ in range(2)], dim=1)
        return batch
