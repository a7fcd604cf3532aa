"""Errors that image readers raise for files that are not images, or that are truncated."""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

import nibabel
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from planewise.errors import InputError

#: Errors of ITK, nibabel and NumPy. A truncated ``.nii.gz`` raises `EOFError`, and a damaged one `zlib.error`.
UNREADABLE = (OSError, ValueError, RuntimeError, EOFError, zlib.error, ImageFileError, HeaderDataError)

#: Maximum number of bytes to which one byte of a ``.nii.gz`` can expand; this is a limit of the deflate format.
_MOST_PACKED = 1032


def claims_too_much(image: nibabel.Nifti1Image) -> bool:
    """Whether the header of a NIfTI file claims more voxels than the file can contain; readers would allocate memory for
    all of them.
    """
    file = Path(str(image.get_filename()))
    held = file.stat().st_size * (_MOST_PACKED if file.suffix == ".gz" else 1)
    return math.prod(image.shape) * image.get_data_dtype().itemsize > held


def refuse_claims(path: str | Path) -> None:
    """Refuse a NIfTI file that `claims_too_much`, before a reader allocates memory for it. Other files are accepted.

    Raises:
        InputError: the header claims too much.
        OSError and others of `UNREADABLE`: the header cannot be read.
    """
    if not str(path).endswith((".nii", ".nii.gz")):
        return
    image: Any = nibabel.load(path)
    if claims_too_much(image):
        claimed = " x ".join(map(str, image.shape))
        raise InputError(f"its header claims {claimed} voxels, more than the file can hold; copy the file again")
