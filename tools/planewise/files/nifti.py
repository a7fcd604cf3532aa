"""Recognise and open NIfTI files, and write arrays as NIfTI files in millimetres."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from planewise.errors import InputError
from planewise.files.arrays import FARTHEST, LARGEST_SPACING, THICKEST
from planewise.files.atomic_write import atomic_write
from planewise.findings import Finding, finding

#: Errors of ITK, `open_nifti` and NumPy. A truncated ``.nii.gz`` raises `EOFError`, and a damaged one `zlib.error`.
UNREADABLE = (OSError, ValueError, RuntimeError, EOFError, zlib.error)
#: Why a file of a datalist is usually missing: the list was moved without its images.
NO_FILE = "No such file or directory: paths in a datalist are relative to the folder of the datalist"
#: Masks and images whose affines differ by more than this (mm) anywhere in the image are on different grids.
SAME_GRID = 0.1
#: A shear counts if it moves a corner by more than this, mm; headers round positions.
SHEARED = 0.1
#: Smallest side of a voxel, mm, and smallest volume of a voxel as a share of a box with the same sides: below them, an affine
#: has an axis of zero length, or three axes in one plane, so it has no inverse.
_SHORTEST, _FLATTEST = 1e-3, 0.01
#: Maximum number of bytes to which one byte of a ``.nii.gz`` can expand; this is a limit of the deflate format.
_MOST_PACKED = 1032
#: NIfTI's codes of units of length other than millimetres; nibabel and ITK take all lengths as millimetres.
_OTHER_UNITS = {1: "metres", 3: "micrometres"}


def is_nifti(path: str | Path) -> bool:
    """Whether a file is NIfTI by its name; the ending may be in capitals."""
    return str(path).lower().endswith((".nii", ".nii.gz"))


def open_nifti(path: str | Path, **loading: Any) -> Any:
    """Open a NIfTI file as a nibabel image whose voxels are not read yet; ``loading`` are arguments of `nibabel.load`.

    Index, loaders and masks open their files here, so that they share one geometry (``affine``, RAS+, mm) and refuse the same
    files. (MONAI's `NibabelReader` takes a qform without a code if pixdim is rounded.)

    Raises:
        InputError: the header cannot be read, or no reader could use the file.
        FileNotFoundError: there is no file.
    """
    try:
        image: Any = nibabel.load(path, **loading)
    except FileNotFoundError:
        raise
    except Exception as error:  # nibabel raises many kinds of errors for broken files
        raise InputError(finding("nifti-damaged")) from error
    if problem := _problem(image):
        raise InputError(problem)
    return image


def _problem(image: Any) -> Finding | None:
    """Why an image or a mask cannot be read or measured; None if it can."""
    if min(image.shape, default=0) < 1:
        return finding("nifti-image", kind="voxels")
    # readers would allocate memory for all of them
    file = Path(str(image.get_filename()))
    held = file.stat().st_size * (_MOST_PACKED if file.suffix.lower() == ".gz" else 1)
    if math.prod(image.shape) * image.get_data_dtype().itemsize > held:
        return finding("nifti-image", kind="cut")
    if image.get_data_dtype().kind not in "iuf":
        return finding("nifti-image", kind="colours")
    if unit := _OTHER_UNITS.get(int(image.header["xyzt_units"]) & 7):
        return finding("nifti-image", kind="unit", unit=unit)
    sides, possible = np.linalg.norm(image.affine[:3, :3], axis=0), np.isfinite(image.affine).all()
    possible = possible and sides.min() >= _SHORTEST and max(sides[:2]) <= LARGEST_SPACING and sides[2] <= THICKEST
    possible = possible and abs(np.linalg.det(image.affine[:3, :3] / sides)) >= _FLATTEST
    possible = possible and np.abs(image.affine[:3, 3]).max() <= FARTHEST
    return None if possible else finding("nifti-image", kind="geometry")


def states_orientation(header: Mapping[str, Any]) -> bool:
    """Whether the header of a file states its orientation. NIfTI whose sform and qform codes are both 0 does not: nibabel
    takes it as LAS, and ITK as LPS."""
    return not (int(header.get("sform_code", 1)) == int(header.get("qform_code", 1)) == 0)


def grid_of_slices(affines: np.ndarray) -> np.ndarray:
    """The affine of a stack as a volume, RAS+, mm: that of its first slice, with the mean step from slice to slice, from the
    affines of its slices in order, ``(slices, 4, 4)``."""
    affine = np.array(affines[0], dtype=float)
    if len(affines) > 1:
        affine[:3, 2] = (affines[-1][:3, 3] - affines[0][:3, 3]) / (len(affines) - 1)
    return affine


def written_affine(affine: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """The affine, RAS+, mm, with which a volume ``(i, j, k)`` of this shape is written.

    It has no shear, because the qform, which ITK reads, cannot be sheared. The slices of a sheared stack move along their
    planes; sizes, distances and the centre of the volume stay.
    """
    affine, middle = np.asarray(affine, dtype=float), (np.array(shape[:3]) - 1) / 2
    directions, sides = np.linalg.qr(affine[:3, :3])
    upright = np.eye(4)
    upright[:3, :3] = directions * np.diag(sides)
    upright[:3, 3] = affine[:3] @ [*middle, 1] - upright[:3, :3] @ middle
    moved = np.abs(affine[:3, :3] - upright[:3, :3]) @ middle
    return upright if moved.max() > SHEARED else affine


def write_nifti(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    """Write a volume ``(i, j, k)``, with its `written_affine`, to a file ``.nii.gz``. Whole numbers are stored in 8 or 16
    bits if they fit, all other values as 32-bit floats."""
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    kind: type = np.float32
    if np.array_equal(array, np.round(array)):
        kind = np.uint8 if low >= 0 and high < 2**8 else np.int16 if low >= -(2**15) and high < 2**15 else np.float32
    image = nibabel.Nifti1Image(array.astype(kind), written_affine(affine, array.shape))
    image.header.set_xyzt_units("mm")
    image.set_sform(image.affine, code=1)
    image.set_qform(image.affine, code=1)
    with atomic_write(path, ending=".nii.gz") as part:
        nibabel.save(image, part)


def other_grid(
    own: tuple[int, ...], own_affine: np.ndarray, shape: tuple[int, ...], affine: np.ndarray
) -> Finding | None:
    """Why a volume of one shape and affine is not on the grid of an image; None if it is."""
    if own != shape:
        return finding("grid-differs", kind="shape", own=own, wanted=shape)
    apart = corners_apart(shape, own_affine, affine)
    return finding("grid-differs", kind="place", mm=round(apart, 1)) if apart > SAME_GRID else None


def corners_apart(shape: Sequence[int], first: np.ndarray, second: np.ndarray) -> float:
    """The largest distance (mm), along any axis, between an image's corners according to two affines."""
    corners = np.array([[i, j, k, 1] for i in (0, shape[0]) for j in (0, shape[1]) for k in (0, shape[2])])
    return float(np.abs(corners @ (first - second).T).max())
