"""What the readers of images raise at a file that is no image, or half of one."""

from __future__ import annotations

import zlib

from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

#: ITK's, nibabel's and NumPy's. A ``.nii.gz`` that was cut off ends in `EOFError`, one with a wrong byte in `zlib.error`.
UNREADABLE = (OSError, ValueError, RuntimeError, EOFError, zlib.error, ImageFileError, HeaderDataError)
