"""Mark the masks and other label maps that a network predicted, and recognise the mark in a file."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from planewise.unreadable import UNREADABLE

#: Beginning of the header's ``descrip`` in a predicted mask; the voxels' checksum follows.
_PREDICTED = "planewise predicted "


def mark_predicted(image: nibabel.Nifti1Image) -> None:
    """Record in a mask's header that a network predicted these voxels (see `is_predicted`)."""
    image.header["descrip"] = _PREDICTED + _checksum(image)


def is_predicted(path: str | Path) -> bool:
    """Whether a network predicted the mask in a file, and nobody has changed a voxel since.

    The mark is in the file, so it does not depend on the file's name. It contains a checksum of the voxels: some viewers
    keep the header of a mask that a person corrects.
    """
    try:
        image: Any = nibabel.load(path)
        text = image.header["descrip"].item().decode("latin-1")
        return text.startswith(_PREDICTED) and text == _PREDICTED + _checksum(image)
    except (*UNREADABLE, KeyError):
        return False


def _checksum(image: nibabel.Nifti1Image) -> str:
    """A checksum of whole numbers, which does not depend on their type or on the order of the axes in the file."""
    voxels = np.rint(np.asarray(nibabel.as_closest_canonical(image).dataobj)).astype(np.int32)
    return f"{zlib.crc32(voxels.tobytes()):08x}"
