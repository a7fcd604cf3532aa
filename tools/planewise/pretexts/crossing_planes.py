"""Check that the lines of two views cross in a slice, so that anatomical positions along them are defined."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from monai.transforms import Transform

from planewise.errors import InputError
from planewise.geometry import squares_on_lines


class CrossingPlanesd(Transform):
    """Refuse or mask a slice in which the lines of two views do not cross. Use it after `SelectPlanesd`.

    Reads ``planes`` ``(2, 2, 3)`` and the slice's affine, like `SelectPlanesd`. The lines form a cross if they have squares
    (`planewise.geometry.squares_on_lines`). If a plane is already masked, the item stays unchanged.

    Args:
        views: names of the two views.
        ends: for each view, the first end of its line (`planewise.geometry.end_direction`).
        parallel: what happens if there is no cross. ``"error"`` refuses the item; ``"mask"`` sets its planes to NaN,
            which excludes the slice from the loss.

    Raises:
        InputError: there is no cross and ``"error"`` was requested; the message names the exam and the views.
        ValueError: the number of views or of ends is not two.
    """

    def __init__(self, views: Sequence[str], ends: Sequence[str], parallel: Literal["error", "mask"] = "error") -> None:
        if isinstance(views, str) or len(views) != 2 or len(ends) != 2:
            raise ValueError(f"positions need two views and an end for each of them, got {views} and {ends}")
        if parallel not in ("error", "mask"):
            raise ValueError(f"parallel must be 'error' or 'mask', got {parallel!r}")
        self.views = tuple(views)
        self.ends = tuple(ends)
        self.parallel = parallel

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        planes = item["planes"]
        if not bool(torch.isfinite(planes).all()):
            return item
        affine = item["affine"] if "affine" in item else item["image"].affine
        affine = torch.from_numpy(np.array(affine, dtype=np.float64))
        if bool(torch.isfinite(squares_on_lines(affine, planes, self.ends, 1.0).centres).all()):
            return item
        if self.parallel == "error":
            raise InputError(
                f"exam {item.get('exam', '?')}, {item.get('stack', 'the stack')}: in a slice, the lines of the"
                f" {self.views[0]} and {self.views[1]} views are nearly parallel, or a line is nearly perpendicular to the"
                f" direction of its first end ({self.ends[0]}, {self.ends[1]}); leave such slices out of the loss with"
                " --parallel_planes mask"
            )
        item["planes"] = torch.full_like(planes, torch.nan)
        return item
