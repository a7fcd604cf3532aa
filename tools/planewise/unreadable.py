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
from planewise.nifti_files import is_nifti

#: Errors of ITK, nibabel and NumPy. A truncated ``.nii.gz`` raises `EOFError`, and a damaged one `zlib.error`.
UNREADABLE = (OSError, ValueError, RuntimeError, EOFError, zlib.error, ImageFileError, HeaderDataError)

#: Why a file of a datalist is usually missing: the list was moved without its images.
NO_FILE = "No such file or directory: paths in a datalist are relative to the folder of the datalist"

#: Maximum number of bytes to which one byte of a ``.nii.gz`` can expand; this is a limit of the deflate format.
_MOST_PACKED = 1032
#: NIfTI's codes of units of length other than millimetres.
_OTHER_UNITS = {1: "metres", 3: "micrometres"}


def claims_too_much(image: nibabel.Nifti1Image) -> bool:
    """Whether the header of a NIfTI file claims more voxels than the file can contain; readers would allocate memory for
    all of them.
    """
    file = Path(str(image.get_filename()))
    held = file.stat().st_size * (_MOST_PACKED if file.suffix.lower() == ".gz" else 1)
    return math.prod(image.shape) * image.get_data_dtype().itemsize > held


def other_unit(image: nibabel.Nifti1Image) -> str:
    """The unit of an image's lengths if its header names one other than millimetres; otherwise empty. nibabel and ITK take
    all lengths as millimetres.
    """
    return _OTHER_UNITS.get(int(image.header["xyzt_units"]) & 7, "")


def refuse_claims(path: str | Path) -> None:
    """Refuse a NIfTI file that `claims_too_much`, before a reader allocates memory for it, or whose lengths have an
    `other_unit`. Other files are accepted.

    Raises:
        InputError: the header claims more voxels than the file can contain, or its lengths are not in millimetres.
        OSError and others of `UNREADABLE`: the header cannot be read.
    """
    if not is_nifti(path):
        return
    image: Any = nibabel.load(path)
    if claims_too_much(image):
        claimed = " x ".join(map(str, image.shape))
        raise InputError(f"its header claims {claimed} voxels, more than the file can hold; copy the file again")
    if unit := other_unit(image):
        raise InputError(
            f"its header gives lengths in {unit}, but they are read as mm; convert them, or correct xyzt_units in the header"
        )
