"""What the readers of images raise at a file that is no image, or half of one."""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

import nibabel
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from planewise.errors import InputError

#: ITK's, nibabel's and NumPy's. A ``.nii.gz`` that was cut off ends in `EOFError`, one with a wrong byte in `zlib.error`.
UNREADABLE = (OSError, ValueError, RuntimeError, EOFError, zlib.error, ImageFileError, HeaderDataError)

#: Bytes that a byte of a ``.nii.gz`` unpacks to, at most: deflate's limit.
_MOST_PACKED = 1032


def claims_too_much(image: nibabel.Nifti1Image) -> bool:
    """Whether the header of a NIfTI file claims more voxels than the file can hold; readers would take memory for all."""
    file = Path(str(image.get_filename()))
    held = file.stat().st_size * (_MOST_PACKED if file.suffix == ".gz" else 1)
    return math.prod(image.shape) * image.get_data_dtype().itemsize > held


def refuse_claims(path: str | Path) -> None:
    """See that a NIfTI file `claims_too_much` before a reader takes the memory for it; other files pass.

    Raises:
        InputError: it does.
        OSError and others of `UNREADABLE`: its header cannot be read.
    """
    if not str(path).endswith((".nii", ".nii.gz")):
        return
    image: Any = nibabel.load(path)
    if claims_too_much(image):
        claimed = " x ".join(map(str, image.shape))
        raise InputError(f"its header claims {claimed} voxels, more than the file can hold; get the file again")
