"""Read the imaging plane of another view from the header of a file."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import nibabel
import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from planewise.errors import InputError
from planewise.exams.dicom import read_header
from planewise.exams.refusals import Refused
from planewise.geometry import check_affine, plane_from_affine
from planewise.unreadable import UNREADABLE


class ReadPlaned(MapTransform):
    """Read the plane of another view from the header of its file, and write it to ``item["planes"][key]``.

    Each key names a view, and its value is the path of one of the view's files: single-frame DICOM, or NIfTI, of which
    the first slice is used. Only the header is read. ITK is not used, because it would read the whole DICOM file.

    Raises:
        InputError: the file has no header with an image position; the message gives the reason.
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        planes = dict(item.get("planes", {}))
        for key in self.key_iterator(item):
            try:
                affine = torch.from_numpy(_header_affine(str(item[key])))
                check_affine(affine)
            except (Refused, *UNREADABLE) as error:
                reason = str(error).replace(str(item[key]), "the file")
                raise InputError(f"exam {item.get('exam', '?')}, {key}: no plane in the header ({reason})") from error
            origin, normal = plane_from_affine(affine)
            planes[key] = {"origin": origin.tolist(), "normal": normal.tolist()}
        item["planes"] = planes
        return item


def _header_affine(path: str) -> np.ndarray:
    """Affine ``(4, 4)``, RAS+, mm, read only from the header."""
    if path.endswith((".nii", ".nii.gz")):
        return np.asarray(nibabel.load(path).affine, dtype=np.float64)
    frames = read_header(path)
    if len(frames) > 1:
        raise ValueError(f"the file contains {len(frames)} frames")
    return np.asarray(frames[0].affine, dtype=np.float64)
