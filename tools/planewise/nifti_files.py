"""Recognise and open NIfTI files, and write arrays as NIfTI files in millimetres."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from planewise.atomic_write import atomic_write
from planewise.errors import InputError
from planewise.exams.frame import FARTHEST, LARGEST_SPACING, THICKEST

#: Errors of ITK, `open_nifti` and NumPy. A truncated ``.nii.gz`` raises `EOFError`, and a damaged one `zlib.error`.
UNREADABLE = (OSError, ValueError, RuntimeError, EOFError, zlib.error)
#: Why a file of a datalist is usually missing: the list was moved without its images.
NO_FILE = "No such file or directory: paths in a datalist are relative to the folder of the datalist"
#: Largest share by which the voxel sizes of sform and qform may differ, and largest distance, mm, between the corners of an
#: image according to both. Rounding differences are far smaller.
SAME_SIZE, SAME_PLACE = 0.01, 1.0
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

    Index, loaders and masks open their files here, so that they share one geometry and refuse the same files. The geometry is
    ``affine``, RAS+, mm: the sform if it has a code, else the qform if it has one, else the voxel sizes alone. (MONAI's
    `NibabelReader` takes a qform without a code if pixdim is rounded.)

    Raises:
        InputError: the header cannot be read, or no reader could use the file (`_problem`).
        FileNotFoundError: there is no file.
    """
    try:
        image: Any = nibabel.load(path, **loading)
    except FileNotFoundError:
        raise
    except Exception as error:  # nibabel raises many kinds of errors for broken files
        raise InputError("NIfTI file that cannot be read") from error
    if problem := _problem(image):
        raise InputError(f"NIfTI image {problem}")
    return image


def _problem(image: Any) -> str:
    """Why an image or a mask cannot be read or measured, in words; empty if it can."""
    if min(image.shape, default=0) < 1:
        return "without voxels"
    # readers would allocate memory for all of them
    file = Path(str(image.get_filename()))
    held = file.stat().st_size * (_MOST_PACKED if file.suffix.lower() == ".gz" else 1)
    if math.prod(image.shape) * image.get_data_dtype().itemsize > held:
        return "whose header claims more voxels than the file can hold"
    if image.get_data_dtype().kind not in "iuf":
        return "of colours or complex numbers: it must have one number per voxel"
    if not np.isfinite(image.affine).all():
        return "whose affine is not finite"
    sides = np.linalg.norm(image.affine[:3, :3], axis=0)
    if sides.min() < _SHORTEST or abs(np.linalg.det(image.affine[:3, :3] / sides)) < _FLATTEST:
        return "whose affine gives its voxels no extent"
    if unit := _OTHER_UNITS.get(int(image.header["xyzt_units"]) & 7):
        return f"with lengths in {unit}: convert them to mm, or correct xyzt_units in its header"
    if max(sides[:2]) > LARGEST_SPACING or sides[2] > THICKEST or np.abs(image.affine[:3, 3]).max() > FARTHEST:
        return "of impossible geometry: a voxel size or position beyond what a scanner can have"
    return ""


def states_orientation(header: Mapping[str, Any]) -> bool:
    """Whether the header of a file states its orientation. NIfTI whose sform and qform codes are both 0 does not: nibabel
    takes it as LAS, and ITK as LPS."""
    return not (int(header.get("sform_code", 1)) == int(header.get("qform_code", 1)) == 0)


def two_geometries(path: str | Path) -> tuple[str, str]:
    """Remarks on a NIfTI header whose sform and qform disagree: the first if the voxel sizes differ, which changes volumes,
    the second if only the places do. Empty strings if they agree, or if the header has only one of the two."""
    image = open_nifti(path)
    sform, qform = image.get_sform(), image.get_qform()
    sizes = [nibabel.affines.voxel_sizes(form) for form in (sform, qform)]
    same_size = np.allclose(sizes[0], sizes[1], rtol=SAME_SIZE, atol=0)
    corners = np.array([[*place, 1] for place in np.ndindex(2, 2, 2)]) * [*np.array(image.shape[:3]) - 1, 1]
    apart = np.linalg.norm((corners @ (sform - qform).T)[:, :3], axis=1).max()
    if not image.header["sform_code"] or (same_size and (not image.header["qform_code"] or apart <= SAME_PLACE)):
        return "", ""
    first, second = (" x ".join(f"{side:.3g}" for side in size) for size in sizes)
    if same_size:
        return "", f"the header's sform and qform place the image up to {apart:.1f} mm apart: the sform is used"
    return f"the header contains two voxel sizes, {first} mm (sform) and {second} mm (qform): the sform is used", ""


def grid_of_slices(affines: np.ndarray) -> np.ndarray:
    """The affine of a stack as a volume, RAS+, mm: that of its first slice, with the mean step from slice to slice.
    ``affines`` are those of the slices in order, ``(slices, 4, 4)``."""
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
    """Write a volume. Whole numbers are stored in 8 or 16 bits if they fit, all other values as 32-bit floats.

    Args:
        path: path of the file; it must end in ``.nii.gz``.
        array: ``(i, j, k)``.
        affine: voxel indices to patient space, RAS+, mm; the file gets its `written_affine`.
    """
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
