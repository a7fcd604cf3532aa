"""Convert the planes of other views, from the datalist, to the tensor from which targets are computed."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from monai.transforms import Transform

from planewise.errors import InputError
from planewise.geometry import MIN_SPACING, PARALLEL_ANGLE, check_affine, plane_from_affine


class SelectPlanesd(Transform):
    """Convert ``item["planes"]`` to a tensor ``(views, 2, 3)``: the origin and the normal of each view, float64, RAS+, mm.

    No pixels are needed. The slice's own plane, which must not be parallel to the views, comes from ``item["affine"]``,
    or from the image's affine if the item has none.

    Args:
        views: the views whose lines are targets, in the order of the heatmap channels.
        missing: what happens if an item lacks one of the views. ``"error"`` refuses the item; ``"mask"`` sets the view's
            plane to NaN, which excludes this target from the loss.
        parallel: what happens if a view is parallel to the slice (within `PARALLEL_ANGLE`); the values are the same as
            for ``missing``.

    Raises:
        InputError: a view is missing or parallel and ``"error"`` was requested (the message names the exam and the
            view), or an item has planes but its slice has no affine.
    """

    def __init__(
        self,
        views: Sequence[str],
        missing: Literal["error", "mask"] = "error",
        parallel: Literal["error", "mask"] = "error",
    ) -> None:
        for name, value in (("missing", missing), ("parallel", parallel)):
            if value not in ("error", "mask"):
                raise ValueError(f"{name} must be 'error' or 'mask', got {value!r}")
        self.views = tuple(views)
        self.missing = missing
        self.parallel = parallel

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        exam, stack = item.get("exam", "?"), item.get("stack", "the stack")
        selected = np.full((len(self.views), 2, 3), np.nan)
        given = item.get("planes", {})
        across = self._across(item) if given else np.full(3, np.nan)
        for index, view in enumerate(self.views):
            if view not in given:
                if self.missing == "error":
                    raise InputError(
                        f"exam {exam} has no {view} view (it has {', '.join(given)}); leave this view out with --views, or "
                        "train on the other views with --missing_planes mask"
                        if given
                        else f"exam {exam} has no planes of other views, which this pretext needs (masks do not contain "
                        "planes); train with a datalist from `planewise index`"
                    )
                continue
            normal = np.asarray(given[view]["normal"], dtype=np.float64)
            normal = normal / np.linalg.norm(normal)
            angle = math.atan2(np.linalg.norm(_cross(normal, across)), abs(normal @ across))
            if angle >= PARALLEL_ANGLE:
                selected[index] = given[view]["origin"], normal
            elif self.parallel == "error":
                raise InputError(
                    f"exam {exam}: the {view} and {stack} planes are parallel (angle {math.degrees(angle):.1f} deg < "
                    f"{math.degrees(PARALLEL_ANGLE):.0f} deg), so they have no intersection line; leave the view "
                    f"out with --views, or this target out of the loss with --parallel_planes mask"
                )
        item["planes"] = torch.from_numpy(selected)
        return item

    @staticmethod
    def _across(item: Mapping[Hashable, Any]) -> np.ndarray:
        """Unit normal of the item's own slice, ``(3,)``."""
        own = item["affine"] if "affine" in item else getattr(item.get("image"), "affine", None)
        exam, stack = item.get("exam", "?"), item.get("stack", "the stack")
        if own is None:
            raise InputError(f"exam {exam}, {stack}: the datalist has planes but no affine; index the folder again")
        try:
            return _normal(np.asarray(own, dtype=np.float64))
        except ValueError as error:
            raise InputError(f"exam {exam}, {stack}: {error}") from error


# plain NumPy for speed, because every run calls these functions for a hundred thousand items when it starts
def _normal(affine: np.ndarray) -> np.ndarray:
    """Unit normal of a slice, ``(3,)``. If the affine has no normal, a ValueError with the reason is raised."""
    if affine.shape == (4, 4) and np.isfinite(affine).all():
        across = _cross(affine[:3, 0], affine[:3, 1])
        length, spacing = np.linalg.norm(across), [np.linalg.norm(affine[:3, axis]) for axis in (0, 1)]
        if min(spacing) > 2 * MIN_SPACING and length > 0.5 * math.prod(spacing):
            return across / length
    checked = torch.from_numpy(affine)
    check_affine(checked)
    return plane_from_affine(checked)[1].numpy()


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    (a0, a1, a2), (b0, b1, b2) = a.tolist(), b.tolist()
    return np.array([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0])
