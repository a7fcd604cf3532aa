"""Errors that image readers raise for files that are not images, or that are truncated."""

from __future__ import annotations

import zlib

from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

#: Errors of ITK, nibabel and NumPy. A truncated ``.nii.gz`` raises `EOFError`, and a damaged one `zlib.error`.
UNREADABLE = (OSError, ValueError, RuntimeError, EOFError, zlib.error, ImageFileError, HeaderDataError)

#: Why a file of a datalist is usually missing: the list was moved without its images.
NO_FILE = "No such file or directory: paths in a datalist are relative to the folder of the datalist"
