"""Resample each slice of a stack in its own plane, with cubic interpolation."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection, SequenceStr
from monai.data import MetaTensor
from monai.transforms import Spacingd, SpatialResample
from monai.utils import LazyAttr, TraceKeys
from scipy.ndimage import map_coordinates
from torch import Tensor

#: Shifts out of the plane, or from slice to slice, count as zero if they are below this everywhere in the volume (pixels).
EXACT = 1e-5
#: The same limit for shifts caused by a rotation in the plane. The rounding of affines in files (float32) resembles a
#: rotation by 1e-7.
TURNED = 1e-3


class InPlaneSpacingd(Spacingd):
    """MONAI's `Spacingd`, with a shortcut for stacks whose slices stay in their planes. The results and the inverse are
    the same as MONAI's.

    MONAI interpolates splines in 3D from 64 points for each pixel, and on a GPU only if CuPy is installed. If the slices
    keep their positions along the third axis, two matrix products on the image's device, one for each axis of the plane,
    give the same result. In all other cases (other interpolation, resampling of the third axis), MONAI's code is used.

    The arguments are those of `Spacingd`. By default, the interpolation is cubic, and the image reflects at its borders.
    """

    def __init__(
        self,
        keys: KeysCollection,
        pixdim: Sequence[float] | float,
        diagonal: bool = False,
        mode: SequenceStr | int = 3,
        padding_mode: SequenceStr = "reflect",
        **arguments: Any,
    ) -> None:
        super().__init__(keys, pixdim, diagonal, mode, padding_mode, **arguments)
        self.spacing_transform.sp_resample = _InPlaneResample(lazy=self.lazy)

    def __call__(self, data: Mapping[Hashable, Any], lazy: bool | None = None) -> dict[Hashable, Any]:
        # MONAI updates every value whose key begins with the key of an image, such as MONAI Label's image_path
        texts = {key: value for key, value in data.items() if isinstance(value, str)}
        return super().__call__({key: data[key] for key in data if key not in texts}, lazy) | texts


class _InPlaneResample(SpatialResample):
    """The resampling inside `Spacing`, forward and inverse."""

    def __call__(self, img: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if isinstance(img, MetaTensor) and not img.pending_operations and not kwargs.get("lazy"):
            # MONAI records the resampling lazily, without performing it
            plan = super().__call__(img, *args, **kwargs | {"lazy": True}).pending_operations[-1]
            shape = [int(size) for size in plan[LazyAttr.SHAPE]]
            dtype = getattr(torch, plan[TraceKeys.EXTRA_INFO]["dtype"])
            pixels = _resampled(img, plan[LazyAttr.AFFINE], shape, plan[TraceKeys.EXTRA_INFO], dtype)
            if pixels is not None:
                return self.push_transform(
                    MetaTensor(pixels).copy_meta_from(img),
                    sp_size=shape,
                    affine=plan[LazyAttr.AFFINE],
                    extra_info=plan[TraceKeys.EXTRA_INFO],
                    orig_size=tuple(img.shape[1:]),
                )
        return super().__call__(img, *args, **kwargs)

    def inverse(self, data: Tensor) -> Tensor:
        done = self.get_most_recent_transform(data)
        before = done[TraceKeys.EXTRA_INFO]["src_affine"].to(torch.float64)
        way = torch.linalg.solve(data.affine.to(before), before)
        shape = list(done[TraceKeys.ORIG_SIZE])
        # float32 is enough for a network's output, which is float32; a GPU gets float64, because it may round float32
        # products to TF32
        dtype = torch.float32 if data.device.type == "cpu" else torch.float64
        pixels = _resampled(data, way, shape, done[TraceKeys.EXTRA_INFO], dtype)
        if pixels is None:
            return super().inverse(data)
        self.pop_transform(data)
        back = MetaTensor(pixels).copy_meta_from(data)
        back.affine = before
        return back


def _resampled(
    image: Tensor, way: Tensor, shape: Sequence[int], settings: dict[str, Any], dtype: torch.dtype
) -> Tensor | None:
    """Resample an image ``(C, i, j, k)`` to another grid, float32; None if the slices do not stay in their planes.
    ``way`` is the matrix from voxel coordinates of the new grid to those of the image, and `SpatialResample` recorded
    the settings."""
    if image.ndim != 4 or not isinstance(settings["mode"], int) or settings["padding_mode"] != "reflect":
        return None
    xform = np.asarray(torch.as_tensor(way).cpu(), dtype=np.float64)
    # with equal shapes, the grids may be equal, too; then MONAI leaves the image unchanged
    if shape[2] != image.shape[3] or list(shape) == list(image.shape[1:]) or not _in_plane(xform, shape):
        return None
    slices = np.arange(shape[2])
    matrices = []
    for axis in (0, 1):
        # in a slightly sheared stack, every slice has another shift
        starts = xform[axis, 2] * slices + xform[axis, 3]
        starts = starts[:1] if np.ptp(starts) < EXACT else starts
        scale, starts = round(float(xform[axis, axis]), 12), tuple(np.round(starts, 9).tolist())
        matrix = _spline_matrix(image.shape[1 + axis], shape[axis], scale, starts, settings["mode"])
        matrices.append(torch.from_numpy(matrix).to(image.device, dtype))
    rows, columns = matrices
    pixels = image.as_tensor() if isinstance(image, MetaTensor) else image
    planes = rows[:, None] @ pixels.permute(3, 0, 1, 2).to(dtype) @ columns[:, None].mT  # (k, C, i, j)
    return planes.permute(1, 2, 3, 0).to(torch.float32)


def _in_plane(xform: np.ndarray, shape: Sequence[int]) -> bool:
    """Whether a grid's slices lie in the image's planes and are not rotated in them. They may be scaled and shifted."""
    to_slices = np.abs(xform[2] - [0, 0, 1, 0]) @ [*shape, 1]
    turn = max(abs(xform[0, 1]) * shape[1], abs(xform[1, 0]) * shape[0])
    return bool(to_slices < EXACT and turn < TURNED)


@lru_cache(maxsize=8)
def _spline_matrix(size: int, wanted: int, scale: float, starts: tuple[float, ...], order: int) -> np.ndarray:
    """Matrices ``(starts, wanted, size)`` that map the ``size`` samples of an axis to samples at ``start + scale * n``: SciPy
    resamples an image whose lines are the unit vectors."""
    places = np.asarray(starts)[:, None] + scale * np.arange(wanted)
    along = np.broadcast_to(np.arange(size, dtype=np.float64), (*places.shape, size))
    across = np.broadcast_to(places[..., None], along.shape)
    return map_coordinates(np.eye(size), np.stack([across, along]), order=order, mode="reflect")
