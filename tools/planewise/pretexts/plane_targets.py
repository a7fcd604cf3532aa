"""Compute the targets of relative orientation and relative location, for an item or a batch."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Literal

import torch
from monai.transforms import Transform
from torch import Tensor

from planewise.geometry import centrosymmetric, intersection_lines, line_heatmaps


def slice_grid(item: Mapping[Hashable, Any], what: str) -> tuple[bool, Tensor, tuple[int, int]]:
    """Whether an item has one slice ``(1, i, j, 1)`` instead of a batch of slices ``(B, 1, i, j)``; its affine or
    affines, with the type of its ``planes``; and the pixels along i and j. An image of another shape cannot have ``what``.
    """
    image, planes = item["image"], item["planes"]
    single = planes.ndim == 3
    if image.ndim != 4 or (single and image.shape[3] != 1):
        wanted = "a slice (1, i, j, 1)" if single else "slices (B, 1, i, j)"
        raise ValueError(f"{what} need {wanted}, but the image has shape {tuple(image.shape)}")
    rows, columns = image.shape[1:3] if single else image.shape[2:4]
    return single, (image.affine if single else item["affine"]).to(planes), (int(rows), int(columns))


class PlaneHeatmapsd(Transform):
    """Make heatmaps of the lines along which other views cut the slice (Zhang 2024, Eq. 1); the key is ``heatmaps``.

    The heatmaps are computed from the affine after all earlier spatial transforms, so they are exact under any augmentation.

    - For an item with ``image``, a `MetaTensor` ``(1, i, j, 1)``, and ``planes`` ``(views, 2, 3)``, the heatmaps are
      ``(views, i, j, 1)``.
    - For a batch with ``image`` ``(B, 1, i, j)``, ``affine`` ``(B, 4, 4)`` and ``planes`` ``(B, views, 2, 3)``, the
      heatmaps are ``(B, views, i, j)``.

    If a plane is masked (NaN), its heatmap is NaN, which the losses ignore. If a plane misses the image, its heatmap is
    (nearly) zero. The lines are written under ``lines``, with the shape of ``planes`` but ``(A, B, C)`` as the last axis.

    Args:
        sigma: standard deviation of the line's profile, in pixels of the image's grid.

    Raises:
        ValueError: ``sigma`` is not positive, or the image is a volume instead of a slice.
    """

    def __init__(self, sigma: float) -> None:
        if not sigma > 0:
            raise ValueError(f"sigma must be above zero (pixels), got {sigma}")
        self.sigma = float(sigma)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        planes = item["planes"]
        single, affine, shape = slice_grid(item, "heatmaps")
        item["lines"] = intersection_lines(affine[..., None, :, :], planes[..., 0, :], planes[..., 1, :])
        heatmaps = line_heatmaps(item["lines"], shape, self.sigma)
        item["heatmaps"] = heatmaps[..., None] if single else heatmaps
        return item


class SliceLocationd(Transform):
    """Write the target of relative location under ``location`` (Zhang 2024, Eq. 3 or 4).

    Args:
        mapping: ``"linear"`` keeps the ratio of Eq. (3); ``"sine"`` is Eq. (4), for stacks that are symmetric about the
            centre.
    """

    def __init__(self, mapping: Literal["linear", "sine"] = "linear") -> None:
        if mapping not in ("linear", "sine"):
            raise ValueError(f"mapping must be 'linear' (Eq. 3) or 'sine' (Eq. 4), got {mapping!r}")
        self.mapping = mapping

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        location = torch.as_tensor(item.get("location", torch.nan), dtype=torch.float32)
        item["location"] = centrosymmetric(location) if self.mapping == "sine" else location
        return item
