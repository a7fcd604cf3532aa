"""Compute the targets of orientation, anatomical positions, rotation (for a batch), location and order."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from monai.transforms import RandomizableTrait, Transform
from torch import Tensor

from planewise.augmentation import own_draws
from planewise.data.datalist import slice_position
from planewise.data.to_device import to_device
from planewise.errors import InputError
from planewise.geometry import (
    MIN_SPACING,
    PARALLEL_ANGLE,
    PLANE_ROTATIONS,
    VOLUME_ROTATIONS,
    centrosymmetric,
    check_affine,
    end_direction,
    intersection_lines,
    line_heatmaps,
    plane_from_affine,
    rotate90,
    square_labels,
    squares_inside,
    squares_on_lines,
)


class SelectPlanesd(Transform):
    """Convert ``item["planes"]`` to a tensor ``(views, 2, 3)``: the origin and the normal of each view, float64, RAS+, mm.

    No pixels are needed. The slice's own plane, which must not be parallel to the views, comes from ``item["affine"]``.

    Args:
        views: the views whose lines are targets, in the order of the heatmap channels.
        missing: what happens if an item lacks one of the views. ``"error"`` refuses the item; ``"mask"`` sets the view's
            plane to NaN, which excludes this target from the loss.
        parallel: the same for a view that is parallel to the slice (within `PARALLEL_ANGLE`).
        ends: for positions along the lines of two views, the first end of each line (`planewise.geometry.end_direction`).
            ``parallel`` also says what happens to slices in which the lines form no cross (`squares_on_lines`).

    Raises:
        InputError: a view is missing or parallel, or there is no cross, and ``"error"`` was requested (the message names the
            exam and the view), or an item has planes but its slice has no affine.
    """

    def __init__(
        self,
        views: Sequence[str],
        missing: Literal["error", "mask"] = "error",
        parallel: Literal["error", "mask"] = "error",
        ends: Sequence[str] | None = None,
    ) -> None:
        self.views, self.missing, self.parallel, self.ends = tuple(views), missing, parallel, ends

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        exam, stack = item.get("exam", "?"), item.get("stack", "the stack")
        selected = np.full((len(self.views), 2, 3), np.nan)
        given = item.get("planes", {})
        if given and "affine" not in item:
            raise InputError(f"exam {exam}, {stack}: the datalist has planes but no affine; index the folder again")
        affine = np.array(item["affine"], dtype=np.float64) if given else np.eye(4)
        try:
            across = _normal(affine)
        except ValueError as error:
            raise InputError(f"exam {exam}, {stack}: {error}") from error
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
        item["planes"] = planes = torch.from_numpy(selected)
        if self.ends is not None and bool(torch.isfinite(planes).all()):
            squares = squares_on_lines(torch.from_numpy(affine), planes, self.ends, 1.0)
            crossed = bool(torch.isfinite(squares.centres).all())
            if not crossed and self.parallel == "error":
                raise InputError(
                    f"exam {exam}, {stack}: in a slice, the lines of {' and '.join(self.views)} are nearly parallel, "
                    f"or a line is nearly perpendicular to the direction of its first end ({', '.join(self.ends)}); leave "
                    "such slices out of the loss with --parallel_planes mask"
                )
            item["planes"] = planes if crossed else torch.full_like(planes, torch.nan)
        return item


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


class PlaneHeatmapsd(Transform):
    """Make heatmaps of the lines along which other views cut the slices (Zhang 2024, Eq. 1).

    The heatmaps are computed from the affines after all earlier spatial transforms, so they are exact under any augmentation.

    Reads a batch's ``image`` ``(B, 1, i, j)``, ``affine`` ``(B, 4, 4)`` and ``planes`` ``(B, views, 2, 3)``. Writes
    ``heatmaps`` ``(B, views, i, j)`` and the ``lines`` ``(B, views, 3)``, ``(A, B, C)``. If a plane is masked (NaN), its
    heatmap is NaN, which the losses ignore. If a plane misses the image, its heatmap is (nearly) zero.

    Args:
        sigma: standard deviation of the line's profile, in pixels of the image's grid.
    """

    def __init__(self, sigma: float) -> None:
        self.sigma = float(sigma)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        planes, shape = batch["planes"], tuple(batch["image"].shape[2:])
        batch["lines"] = intersection_lines(batch["affine"][:, None], planes[..., 0, :], planes[..., 1, :])
        batch["heatmaps"] = line_heatmaps(batch["lines"], shape, self.sigma)
        return batch


class PlaneSquaresd(Transform):
    """Make nine squares along the lines where two other views cut the slices (Bai 2019, section 2).

    The squares are computed from the affines after all earlier spatial transforms, so they are exact under any augmentation.

    Reads a batch's ``image`` ``(B, 1, i, j)``, ``affine`` ``(B, 4, 4)`` and ``planes`` ``(B, 2, 2, 3)``. Writes

    - ``squares``, ``(B, i, j)``, int64: 0 for the background, 1 to 9 for the squares in the order of `SQUARE_STEPS`. If a
      plane is masked (NaN) or the squares are unknown (`squares_on_lines`), the whole slice is -1, which the loss ignores.
    - ``square_centres``, ``(B, 9, 3)``, RAS+, mm;
    - ``square_inside``, ``(B, 9)``, bool: whether a square is completely inside the image.

    Args:
        ends: for each of the two views, the first end of its line (`planewise.geometry.end_direction`).
        size: side of a square, mm (the paper: 11 pixels of 1.82 mm).
        step: distance between the centres of neighbouring squares, mm (the paper: 30 pixels).

    Raises:
        ValueError: an end is unknown, or the squares overlap.
    """

    def __init__(self, ends: Sequence[str], size: float = 20.0, step: float = 55.0) -> None:
        for end in ends:
            end_direction(end)
        if not 0 < size < step:
            raise ValueError(
                f"the size of a square must be above zero and below the step between squares, got {size} and {step} mm"
            )
        self.ends, self.size, self.step = tuple(ends), float(size), float(step)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        affine, shape = batch["affine"], tuple(batch["image"].shape[2:])
        squares = squares_on_lines(affine, batch["planes"], self.ends, self.step)
        batch["squares"] = square_labels(squares, affine, shape, self.size)
        batch["square_centres"] = squares.centres
        batch["square_inside"] = squares_inside(squares, affine, shape, self.size)
        return batch


class SliceLocationd(Transform):
    """Write the target of relative location under ``location`` (Zhang 2024, Eq. 3 or 4).

    Args:
        mapping: ``"linear"`` is the ratio of Eq. (3); ``"sine"`` is Eq. (4), for stacks that are symmetric.
    """

    def __init__(self, mapping: Literal["linear", "sine"] = "linear") -> None:
        self.mapping = mapping

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        location = torch.as_tensor(item.get("location", torch.nan), dtype=torch.float32)
        item["location"] = centrosymmetric(location) if self.mapping == "sine" else location
        return item


class RotationTargetsd(Transform, RandomizableTrait):
    """Rotate every image of a batch at random (Taleb 2020, section 3.4; for images Gidaris 2018).

    Volumes have ten classes of rotation: none, and 90, 180 and 270 degrees about each of the three axes. Images have
    four: 0, 90, 180 and 270 degrees. All classes are equally likely, and nothing is interpolated
    (`planewise.geometry.rotate90`).

    Reads ``image``, ``(B, C, i, j)``, or ``(B, C, i, j, k)`` for volumes. Writes

    - ``image``: the rotated image;
    - ``rotation``: the class (`planewise.geometry.rotation_of_class`), ``(B,)``, int64.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        image: Tensor = batch["image"]
        shape = tuple(image.shape[2:])
        classes = PLANE_ROTATIONS if len(shape) == 2 else VOLUME_ROTATIONS
        rotation = (own_draws(len(image), 1, dtype=torch.float64)[:, 0] * classes).long().clamp(max=classes - 1)
        rotated = image
        for number in sorted(set(rotation.tolist()) - {0}):
            rows = to_device((rotation == number).nonzero()[:, 0], image.device)
            rotated = rotated.index_copy(0, rows, rotate90(image.index_select(0, rows), number))
        batch |= {"image": rotated, "rotation": to_device(rotation, image.device)}
        return batch


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
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        batch = dict(data)
        image, position = batch["image"], batch["position"]
        first, second = position.unflatten(0, (-1, 2)).unbind(dim=1)
        batch["image"] = image.squeeze(1).unflatten(0, (-1, 2))
        batch["first_is_nearer"] = (first < second).to(torch.float32)
        return batch
