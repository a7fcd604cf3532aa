"""Read an image from a file, and load one slice of it: a single-frame file, a frame of a multi-frame file, or a slice of a
volume.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from os import stat
from os.path import exists
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection, PathLike
from monai.data import ITKReader, MetaTensor, NibabelReader
from monai.transforms import MapTransform
from monai.utils import ensure_tuple
from nibabel.orientations import apply_orientation, inv_ornt_aff

from planewise.errors import InputError
from planewise.files.arrays import is_array, read_array, read_frames, read_plain_slice
from planewise.files.masks import labels_of
from planewise.files.nifti import NO_FILE, UNREADABLE, is_nifti, open_nifti, states_orientation
from planewise.preprocessing.exam_name import slice_name

#: Largest distance, mm, between corners according to the file and to the datalist. The rounding of headers moves a corner by
#: micrometres, a swapped axis or a wrong frame by centimetres.
GEOMETRY_TOLERANCE = 0.1


class _NiftiReader(NibabelReader):
    """MONAI's reader, with the geometry and the refusals of `open_nifti`."""

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> Any:
        (name,) = self.filenames = ensure_tuple(data)
        return open_nifti(name, **self.kwargs | kwargs)


class _ImageReader(ITKReader):
    """ITK's reader without the file's tags. They may name the patient, and converting them takes a millisecond."""

    def _get_meta_dict(self, img: Any) -> dict[str, Any]:
        return {}


def read_image(path: str, field: float | None) -> tuple[np.ndarray, np.ndarray, bool, bool]:
    """Read a file: MRNet's ``.npy``, NIfTI, or what ITK reads, such as DICOM.

    Args:
        path: the file.
        field: ``field`` of `read_array`, for ``.npy`` volumes; None refuses them.

    Returns:
        Pixels ``(i, j, k)``, or ``(i, j, k, t)`` with an axis of time or channels; the affine ``(4, 4)``, RAS+, mm, NaN for
        multi-frame DICOM that ITK does not open; whether it is a volume, not DICOM; and whether it states its orientation.
    """
    if is_array(path):
        return *read_array(path, field), True, False
    is_volume = is_nifti(path)
    if not is_volume and (plain := read_plain_slice(path)):
        return *plain, False, True
    reader = _NiftiReader() if is_volume else _ImageReader()
    try:
        array, meta = reader.get_data(reader.read(path))
    except RuntimeError:
        # ITK refuses frames with the same position, as in a cine; their geometry comes from the datalist anyway
        if is_volume or not (frames := read_frames(path)):
            raise
        return np.stack(frames, axis=-1), np.full((4, 4), np.nan), False, True
    except TypeError:  # ITK's error for a pixel type that it cannot pass to Python
        raise ValueError("the pixels are not grey values; convert the file, or leave it out") from None
    if array.ndim == 2:
        array = array[..., None]
    # files with a single slice are not opened a second time
    elif array.shape[2] > 1 and not is_volume and (frames := read_frames(path, only_scaled_apart=True)):
        array = np.stack(frames, axis=-1)
    return array, np.asarray(meta["affine"], dtype=np.float64), is_volume, states_orientation(meta)


@lru_cache(maxsize=2)
def _read_once(path: str, modified: int, field: float | None) -> tuple[np.ndarray, np.ndarray, bool, bool]:
    """`read_image`; the last files are kept until they change, because the slices of a volume are requested one by one."""
    return read_image(path, field)


@contextmanager
def refusals(about: str, path: str) -> Iterator[None]:
    """Turn errors of reading into an `InputError` about an exam; a path must not appear, because it may contain a person's
    name."""
    try:
        yield
    except (*UNREADABLE, IndexError, KeyError) as error:
        # ITK's messages have many lines
        lines = (getattr(error, "strerror", None) or str(error)).strip().splitlines() or [type(error).__name__]
        reason: Any = re.sub(rf"([Ff]ile )?{re.escape(path)}", "the file", lines[-1])
        reason = getattr(error, "reason", reason) if exists(path) else NO_FILE
        raise InputError(reason, about) from error


def refuse_not_finite(array: np.ndarray) -> None:
    """Raise `InputError` if an image has NaN or infinite voxels: one of them is enough to make all weights NaN in
    training."""
    if wrong := int((~np.isfinite(array)).sum()):
        raise InputError(
            f"{wrong} of {array.size} voxels are NaN or infinite; replace them (for example by 0), or leave the image out"
        )


def at_time(array: np.ndarray, affine: np.ndarray, item: Mapping[Hashable, Any], is_mask: bool) -> tuple[Any, Any]:
    """The pixels at the item's ``time``, and their affine. If its ``label_axes`` say so, a mask is turned to its image."""
    # a mask of one phase may have kept an axis of time
    one = is_mask and array.shape[3:] == (1,)
    if array.ndim == 4 and ("time" in item or one):
        array = array[..., 0 if one else int(item["time"])]
    if not is_mask or not item.get("label_axes"):
        return array, affine
    axes = item["label_axes"]
    orientation = np.array([*axes, *([axis, 1] for axis in range(len(axes), array.ndim))])
    return apply_orientation(array, orientation), affine @ inv_ornt_aff(orientation[:3], array.shape[:3])


class LoadSliced(MapTransform):
    """Load one slice for each key, as a `MetaTensor` of shape ``(1, i, j, 1)`` that contains pixels, affine and shape.

    All else in a file, such as DICOM tags, is dropped. An image without a stated orientation has ``oriented: False``.

    Reads from the item, in addition to the path under each key:

    - ``frame``: frame of a multi-frame file, or index along the third axis of a volume; required if there are several.
      For a key other than ``image``, ``<key>_frame`` takes precedence; the slice then has the datalist's affine.
    - ``time``: index along the fourth axis of a NIfTI cine; default 0.
    - ``affine``: the datalist's affine, 4x4, RAS+, mm. The affine of a single-frame file or a NIfTI volume must agree with
      it. For a multi-frame DICOM file, it is used, because ITK gives a single affine for all frames.
    - ``label_map``: ``{value in the file: new value}``, applied to the keys in ``label_keys``.
    - ``label_axes``: the argument of `nibabel.orientations.apply_orientation` that turns a mask to the axes of its image.

    Args:
        keys: keys of paths.
        label_keys: keys of masks.
        field_without_spacing: ``field`` of `read_array`, for ``.npy`` volumes; None refuses them.
        named: whether to store the name that writers give their output (`slice_name`), for single slices.
        allow_missing_keys: skip keys that an item lacks.

    Raises:
        InputError: the file is not readable, the frame does not exist, the geometries differ, voxels are not finite
            numbers, or values of a mask cannot be labels (`planewise.files.masks.labels_of`).
    """

    def __init__(
        self,
        keys: KeysCollection,
        label_keys: KeysCollection = ("label",),
        field_without_spacing: float | None = None,
        named: bool = False,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.named = named
        self.field_without_spacing = field_without_spacing
        self.label_keys = ensure_tuple(label_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        name = slice_name(item) if self.named else None
        for key in self.key_iterator(item):
            with refusals(f"exam {item.get('exam', '?')}, {'mask' if key in self.label_keys else key}", str(item[key])):
                item[key] = self._load(item, key)
            if name is not None:
                # MONAI's writers need these values. The name has no ending, because MONAI's Spacingd calls .update()
                # on every key that begins with label_
                item[key].meta |= {
                    "filename_or_obj": name,
                    "original_affine": item[key].affine.numpy(),
                    "spatial_shape": np.array(item[key].shape[1:]),
                }
        return item

    def _load(self, item: Mapping[Hashable, Any], key: Hashable) -> MetaTensor:
        modified, is_mask = stat(item[key]).st_mtime_ns, key in self.label_keys
        array, affine, is_volume, oriented = _read_once(str(item[key]), modified, self.field_without_spacing)
        array, affine = at_time(array, affine, {"time": 0, **item}, is_mask)
        if array.ndim > 3:
            raise ValueError(
                f"the file contains an array of shape {array.shape}; it must be a volume, with or without a time axis"
            )
        own_frame, frames = key != "image" and f"{key}_frame" in item, array.shape[2]
        frame = item[f"{key}_frame"] if own_frame else item.get("frame")
        if frame is None and frames > 1:
            raise ValueError(f"the file contains {frames} frames or slices; name one of them under frame in the item")
        frame = int(frame or 0)
        if not 0 <= frame < frames:
            raise ValueError(f"frame {frame} was requested, but the file has only {frames}; index the folder again")
        listed = None if item.get("affine") is None else np.asarray(item["affine"], dtype=np.float64)
        if is_volume or frames == 1:
            affine = affine.copy()
            affine[:3, 3] += frame * affine[:3, 2]
            # a NIfTI mask has a single spacing and no shear, so the index matches its slices to those of uneven and
            # sheared stacks by number, not by position
            if listed is not None and is_mask and own_frame:
                affine = listed
            elif listed is not None:
                rows, columns = array.shape[:2]
                corners = np.array([[i, j, 0, 1] for i in (0, rows - 1) for j in (0, columns - 1)], dtype=np.float64)
                apart = np.linalg.norm((corners @ affine.T - corners @ listed.T)[:, :3], axis=1).max()
                if not apart <= GEOMETRY_TOLERANCE:
                    raise ValueError(
                        f"the geometries of the file and the datalist differ by {apart:.1f} mm at a corner of the image; "
                        "index the folder again"
                    )
        elif listed is None:
            raise ValueError("a multi-frame file needs the affine of its frame in the datalist; index the folder again")
        else:
            affine = listed
        values = array[:, :, frame]
        pixels = np.array(labels_of(values, item.get("label_map")) if is_mask else values, dtype=np.float32)
        refuse_not_finite(pixels)
        meta = {} if oriented else {"oriented": False}
        return MetaTensor(torch.from_numpy(pixels)[None, :, :, None], affine=torch.from_numpy(affine), meta=meta)
