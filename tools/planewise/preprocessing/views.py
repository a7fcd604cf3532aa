"""Refuse stacks of another view, and turn sagittal images to the one orientation on which networks are trained."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from nibabel.orientations import aff2axcodes, inv_ornt_aff
from torch import Tensor

from planewise.errors import InputError
from planewise.findings import Finding, finding, from_text, said
from planewise.geometry.planes import degrees_off_axis, stack_obliquity
from planewise.geometry.tolerances import NO_ORIENTATION, OFF_AXIS, SHORT_AXIS_OBLIQUITY
from planewise.preprocessing.exam_name import stem


class RequireViewd(MapTransform):
    """Refuse stacks of `LoadStackd` that are not recognised as the view, and volumes whose slices cannot be a heart's short
    axis. `planewise segment` refuses the same stacks; a MONAI Label server relies on this transform.

    Args:
        keys: keys of loaded stacks.
        view: the requested view; only ``"sax"`` limits the direction of a volume's slices.
        min_obliquity: see `wrong_direction`, degrees; 0 accepts any stack.
    """

    def __init__(self, keys: KeysCollection, view: str = "sax", min_obliquity: float = SHORT_AXIS_OBLIQUITY) -> None:
        super().__init__(keys)
        self.view = view
        self.min_obliquity = min_obliquity

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            why = from_text(item.get("why_not", "[]"))
            # slices have passed the indexer, which knows their series
            if self.view == "sax" and "slice_affines" not in item:
                why = wrong_direction(item[key].affine[None], self.min_obliquity, straight=True)
            if why and self.min_obliquity > 0:
                raise InputError(
                    f"this is not the view {self.view}: {said(why)}; to take it anyway, set min_obliquity to 0"
                )
        return item


def wrong_direction(affines: Tensor, min_obliquity: float, straight: bool = False) -> list[Finding]:
    """Why a stack cannot be a heart's short axis by the direction of its slices; empty if it may be one.

    Args:
        affines: affines of the slices, ``(slices, 4, 4)``, RAS+, mm.
        min_obliquity: the smallest obliquity of a short axis, degrees; 0 accepts any stack.
        straight: accept slices exactly along the body's axes, because the header may have lost its orientation (ACDC).
    """
    obliquity, across = stack_obliquity(affines)
    if min_obliquity <= 0 or (straight and obliquity < NO_ORIENTATION):
        return []
    if not obliquity >= min_obliquity:
        degrees = round(obliquity, 1)
        return [finding("stack-off-axis", degrees=degrees, plane=across, limit=min_obliquity, kind="not-oblique")]
    if (off_axis := degrees_off_axis(affines)) > OFF_AXIS:
        return [finding("stack-off-axis", degrees=round(off_axis), limit=OFF_AXIS, kind="off-axis")]
    return []


#: The third axis is not left-right if it is nearer to another body axis by more than this (degrees), as for planes of knees.
_MARGIN = 10.0
#: Words for the axes of RAS+.
_NAMES = ("left-right", "anterior-posterior", "superior-inferior")


class OrientSagittald(MapTransform):
    """Flip and transpose sagittal images ``(C, i, j, slices)`` by their affine, so that i runs back and j down, as in MRNet.

    No pixel is interpolated, and the order of the slices does not change. An image whose file does not state its
    orientation (``oriented: False`` in its metadata) is left alone. The slices' own affines, under ``slice_affines``, follow.

    Args:
        keys: keys of images, from `LoadSliced` or `LoadStackd`, channel first.
        allow_missing_keys: skip keys that an item lacks.

    Raises:
        InputError: the third axis is not left-right, so the slices are not sagittal.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            image = item[key]
            if image.meta.get("oriented") is False:
                continue
            name = item.get("exam") or stem(Path(image.meta.get("filename_or_obj", "?")))
            axes = sagittal_axes(image.affine.numpy(), f"exam {name}, {key}")
            back = torch.as_tensor(inv_ornt_aff(np.array(axes), image.shape[1:]), dtype=image.affine.dtype)
            pixels = image.as_tensor().flip([1 + axis for axis, (_, sign) in enumerate(axes) if sign < 0])
            if axes[0][0] == 1:
                pixels = pixels.transpose(1, 2)
            item[key] = MetaTensor(pixels.contiguous(), meta={**image.meta, "affine": image.affine @ back})
            if "slice_affines" in item:
                item["slice_affines"] = item["slice_affines"] @ back
        return item


def sagittal_axes(affine: np.ndarray, about: str) -> list[list[int]]:
    """The new axis and the sign of each axis of a sagittal volume, for which i runs to the back and j to the feet, as in
    `nibabel.orientations`: ``[[0, 1], [1, 1], [2, 1]]`` is no change.

    Args:
        affine: ``(4, 4)``, RAS+.
        about: the image, for the `InputError` if the third axis is not left-right.
    """
    across, down = (affine[:3, axis] / np.linalg.norm(affine[:3, axis]) for axis in (0, 1))
    angles = np.degrees(np.arccos(np.clip(np.abs(np.cross(across, down)), 0, 1)))
    if angles[0] > angles.min() + _MARGIN:
        raise InputError(
            f"the third axis is {_NAMES[int(angles.argmin())]}, but the slices of a sagittal series follow each other from "
            f"right to left along it (the axes are {''.join(aff2axcodes(affine))}); store the left-right axis last, or "
            "convert the DICOM series with dcm2niix",
            about,
        )
    swapped = abs(across[1]) + abs(down[2]) < abs(across[2]) + abs(down[1])
    along = (down, across) if swapped else (across, down)
    # RAS+: back and feet are negative
    signs = [1 if vector[axis] <= 0 else -1 for axis, vector in enumerate(along, start=1)]
    return [[1, signs[1]], [0, signs[0]], [2, 1]] if swapped else [[0, signs[0]], [1, signs[1]], [2, 1]]
