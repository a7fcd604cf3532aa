"""Mark the masks and other label maps that a network predicted, recognise the mark in a file, and keep the masks that
people corrected.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from planewise.files.nifti import UNREADABLE, open_nifti
from planewise.findings import Finding, finding

#: Beginning of the header's ``descrip`` in a predicted mask; the voxels' checksum follows.
_PREDICTED = "planewise predicted "
#: Ends of the names of a mask, and of the image that `planewise segment` and `planewise plan` write next to it.
MASK, IMAGE = "_mask", "_image"
#: End of the name of a mask that a person corrected: the newest ``a_mask_corrected.nii.gz`` or ``a_corrected.seg.nrrd`` next
#: to the network's ``a_mask.nii.gz`` counts in its place. A file that a person changed under the network's name gets this
#: name, too, before a new result would overwrite it.
CORRECTED = "_corrected"


def mark_predicted(image: nibabel.Nifti1Image) -> None:
    """Record in a mask's header that a network predicted these voxels (see `is_predicted`)."""
    image.header["descrip"] = _PREDICTED + _checksum(image)


def is_predicted(path: str | Path) -> bool:
    """Whether a network predicted the mask in a file, and nobody has changed a voxel since.

    The mark is in the file, so it does not depend on the file's name. It contains a checksum of the voxels: some viewers
    keep the header of a mask that a person corrects.
    """
    try:
        image = open_nifti(path)
        return has_mark(image) and _mark(image) == _PREDICTED + _checksum(image)
    except (*UNREADABLE, KeyError):
        return False


def is_corrected(path: str | Path) -> bool:
    """Whether a file is not a network's unchanged mask: a person made or changed its label map, or it cannot be read.
    planewise never leaves a mask that cannot be read. False if there is no file."""
    return Path(path).is_file() and not is_predicted(path)


def has_mark(image: Any) -> bool:
    """Whether a loaded file is a label map that a network predicted, even if a person has changed its voxels since."""
    try:
        return _mark(image).startswith(_PREDICTED)
    except KeyError:  # a format without this text
        return False


def corrected_name(path: Path, ending: str) -> Path:
    """A free name for a corrected mask: for ``a_mask.nii.gz``, ``a_mask_corrected.nii.gz``, or if that exists,
    ``a_mask_corrected_2.nii.gz``.

    Args:
        path: the file.
        ending: the ending of its name, which the new name keeps, such as ``".nii.gz"``.
    """
    plain = path.name.removesuffix(ending)
    names = (f"{plain}{CORRECTED}{'' if number == 1 else f'_{number}'}{ending}" for number in count(1))
    return next(path.with_name(name) for name in names if not path.with_name(name).exists())


def corrections(mask: Path) -> list[Path]:
    """The corrected masks next to a network's mask ``a_mask.nii.gz``, the newest last: ``a_corrected`` or
    ``a_mask_corrected``, in any format that is read. Of files of one time, a person's is after its copy as NIfTI."""
    stems = corrected_stems(mask)
    files = [file for file in mask.parent.glob(f"*{CORRECTED}*") if file.name.startswith(stems)]
    files = [file for file in files if file.name.endswith((".nii", ".nii.gz", ".seg.nrrd"))]
    return oldest_first(files)


def oldest_first(files: Iterable[Path]) -> list[Path]:
    """Corrected masks in the order of their times: the last one, the newest, counts."""
    return sorted(files, key=lambda file: (file.lstat().st_mtime_ns, file.suffix == ".nrrd", file.name))


def corrected_stems(mask: Path) -> tuple[str, str]:
    """How the names of the corrected masks of a network's mask begin."""
    plain = mask.name.removesuffix(".gz").removesuffix(".nii")
    return f"{plain}{CORRECTED}", f"{plain.removesuffix(MASK)}{CORRECTED}"


def set_aside(path: Path, ending: str) -> Finding:
    """Rename a file that a person changed, see `corrected_name`."""
    return finding("file-kept", file=path.name, kept=path.rename(corrected_name(path, ending)).name)


def _mark(image: Any) -> str:
    return image.header["descrip"].item().decode("latin-1")


def _checksum(image: nibabel.Nifti1Image) -> str:
    """A checksum of whole numbers, which does not depend on their type or on the order of the axes in the file."""
    voxels = np.rint(np.asarray(nibabel.as_closest_canonical(image).dataobj)).astype(np.int32)
    return f"{zlib.crc32(voxels.tobytes()):08x}"
