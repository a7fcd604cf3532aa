"""Resample slices in their plane, crop empty space, resize to squares, cubes of one orientation, and fewer slices."""

from __future__ import annotations

import operator
from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache, partial
from itertools import product
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection, SequenceStr
from monai.data import MetaTensor
from monai.transforms import (
    CropForegroundd,
    InvertibleTransform,
    MapTransform,
    Orientation,
    Resize,
    ResizeWithPadOrCrop,
    Spacing,
    Spacingd,
    SpatialResample,
)
from monai.utils import LazyAttr, TraceKeys
from scipy.ndimage import map_coordinates
from torch import Tensor

from planewise.errors import InputError

#: Shifts out of the plane, or from slice to slice, count as zero if they are below this everywhere in the volume (pixels).
EXACT = 1e-5
#: The same limit for shifts by a rotation in the plane: rounded affines in files (float32) resemble one by 1e-7.
TURNED = 1e-3
#: Weights of a spline below this count as zero in float32.
NEGLIGIBLE = 1e-9


class InPlaneSpacingd(Spacingd):
    """MONAI's `Spacingd`, with a shortcut to the same results and inverse for stacks whose slices stay in their planes.

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
        # a network's output is float32; on a GPU, which may round float32 products to TF32, float64 is needed
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
    """Resample an image ``(C, i, j, k)`` to another grid, float32; None if the slices do not stay in their planes. ``way``
    maps voxels of the new grid to those of the image."""
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
        matrix = torch.from_numpy(_spline_matrix(image.shape[1 + axis], shape[axis], scale, starts, settings["mode"]))
        # products with the splines' far ends would be denormal in float32, which takes ten times as long
        if dtype == torch.float32:
            matrix = torch.where(matrix.abs() < NEGLIGIBLE, 0.0, matrix)
        matrices.append(matrix.to(image.device, dtype))
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


#: The two directions of each axis, as nibabel and MONAI name them: L is toward the patient's left.
_DIRECTIONS = (("L", "R"), ("P", "A"), ("I", "S"))


class ResizeSidesd(MapTransform, InvertibleTransform):
    """Give all volumes one orientation, and all spatial axes the same number of pixels, with MONAI's transforms.

    An image is resized (Taleb 2020, appendix A), or, if ``voxel_size`` is given, resampled to voxels of this size and then
    padded with 0 (see `ScaleToUnitd`) or cropped around its middle. Images are interpolated linearly, masks by nearest
    neighbour. The inverse gives results the orientation of the file.

    Args:
        keys: keys of images ``(channels, i, j)`` or volumes ``(channels, i, j, k)``, and ``label`` for masks.
        side: pixels along each axis.
        voxel_size: side of a voxel after resampling, mm; None resizes instead of resampling.
        axcodes: directions of a volume's axes, such as LPS (BraTS) or RAS (Medical Segmentation Decathlon), by permuting and
            flipping them; None, and a file that does not state its orientation (``oriented: False``), keeps them.
    """

    def __init__(
        self, keys: KeysCollection, side: int, voxel_size: float | None = None, axcodes: str | None = None
    ) -> None:
        super().__init__(keys)
        #: maps the number of axes, and whether the image is a mask, to successive transforms
        self.steps: dict[tuple[int, bool], list[Any]] = {}
        for axes, mask in product((2, 3), (False, True)):
            if voxel_size is None:
                # "nearest" would move masks by up to half a resized pixel (findings/monai_resize_nearest.sh)
                mode = "nearest-exact" if mask else ("bilinear", "trilinear")[axes - 2]
                steps: list[Any] = [Resize([side] * axes, mode=mode)]
            else:
                mode = "nearest" if mask else "bilinear"
                steps = [Spacing([voxel_size] * axes, mode=mode), ResizeWithPadOrCrop([side] * axes)]
            turn = [Orientation(axcodes, labels=_DIRECTIONS)] if axes == 3 and axcodes is not None else []
            self.steps[axes, mask] = [*turn, *steps]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            for step in self.steps[item[key].ndim - 1, key == "label"]:
                if not (isinstance(step, Orientation) and item[key].meta.get("oriented") is False):
                    item[key] = step(item[key])
        return item

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            for step in reversed(self.steps[item[key].ndim - 1, key == "label"]):
                # the metadata of a batch may lack what only some of its volumes have
                last = item[key].applied_operations[-1:]
                if not isinstance(step, Orientation) or (last and last[0]["class"] == Orientation.__name__):
                    item[key] = step.inverse(item[key])
        return item


class CropToForegroundd(CropForegroundd):
    """Crop to the bounding box of all voxels that are above a threshold in any channel (Taleb 2020, appendix A).

    In a photograph of a retina, the box contains the round field of view. Like MONAI's `CropForegroundd`, the transform
    is invertible, so that a prediction can be mapped back to the image's own grid.

    Args:
        keys: images and masks to crop, ``(channels, i, j, k)`` or ``(channels, i, j)``; ``image`` determines the box.
        threshold: the threshold, for intensities scaled to [0, 1].

    Raises:
        InputError: no voxel is above the threshold.
    """

    def __init__(self, keys: KeysCollection, threshold: float = 0.05) -> None:
        self.threshold = float(threshold)
        above = partial(operator.lt, self.threshold)
        super().__init__(keys, "image", select_fn=above)

    def __call__(self, data: Mapping[Hashable, Any], lazy: bool | None = None) -> dict[Hashable, Any]:
        if not bool((torch.as_tensor(data[self.source_key]) > self.threshold).any()):
            raise InputError(f"the foreground is empty: no voxel is above {self.threshold:g}; leave the image out")
        return super().__call__(data, lazy)


def evenly_spaced(count: int, most: int | None) -> list[int]:
    """Ranks of at most ``most`` of ``count`` slices, evenly spaced from the first to the last; None takes all."""
    if most is None or count <= most:
        return list(range(count))
    return np.linspace(0, count - 1, most).round().astype(int).tolist()


class LimitSlicesd(MapTransform):
    """Keep at most ``max_slices`` evenly spaced slices of a volume ``(C, i, j, slices)``.

    The ranks of the kept slices are written under ``kept_slices``. Use it only for networks that process a stack as a
    whole, because their output is not mapped back to the volume's grid. If ``max_slices`` is None, all slices are kept.
    """

    def __init__(self, keys: KeysCollection, max_slices: int | None = None) -> None:
        super().__init__(keys)
        self.max_slices = max_slices

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            kept = evenly_spaced(item[key].shape[-1], self.max_slices)
            if len(kept) < item[key].shape[-1]:
                item[key] = item[key][..., kept]
            item["kept_slices"] = kept
        return item
