"""Two random views of every slice, for methods that learn from their likeness."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import torch
from monai.transforms import Transform


class TwoViewsd(Transform):
    """Two views of each slice as the two channels of ``image`` (SimCLR, Chen 2020; BYOL, Grill 2020).

    A batch holds ``image`` ``(B, 1, i, j)`` and what the view's transforms need. Afterwards ``image`` is ``(B, 2, i, j)``:
    channel 0 is one view of a slice, channel 1 another view of the same slice. All else stays as it was.

    Args:
        view: batch transforms that make a view (`planewise.augmentation`); they are called twice, and draw anew each time.

    Raises:
        ValueError: the images have several channels.
    """

    def __init__(self, view: Callable[[dict[Hashable, Any]], dict[Hashable, Any]]) -> None:
        self.view = view

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        if batch["image"].shape[1] != 1:
            raise ValueError(f"views are of images of one channel (B, 1, i, j), not {tuple(batch['image'].shape)}")
        batch["image"] = torch.cat([self.view(dict(batch))["image"] for _ in range(2)], dim=1)
        return batch
