"""Recognise NIfTI files, and write arrays as NIfTI files in millimetres."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from planewise.atomic_write import atomic_write

#: Largest share by which the voxel sizes of sform and qform may differ, and largest distance, mm, between the corners of an
#: image according to both. Rounding differences are far smaller.
SAME_SIZE, SAME_PLACE = 0.01, 1.0


def is_nifti(path: str | Path) -> bool:
    """Whether a file is NIfTI by its name; the ending may be in capitals."""
    return str(path).lower().endswith((".nii", ".nii.gz"))


def states_orientation(header: Mapping[str, Any]) -> bool:
    """Whether the header of a file states its orientation. NIfTI whose sform and qform codes are both 0 does not: nibabel
    takes it as LAS, and ITK as LPS."""
    return not (int(header.get("sform_code", 1)) == int(header.get("qform_code", 1)) == 0)


def two_geometries(path: str | Path) -> tuple[str, str]:
    """Remarks on a NIfTI header whose sform and qform disagree.

    `monai.data.NibabelReader` uses the qform if the voxel sizes differ, otherwise the sform.

    Returns:
        A remark on different voxel sizes, which change volumes; and a remark on different places. Empty strings if they
        agree, or if the header has only one of the two.

    Raises:
        OSError and others of `planewise.unreadable.UNREADABLE`: the header cannot be read.
    """
    image: Any = nibabel.load(path)
    if not image.header["sform_code"]:
        return "", ""
    sform, qform = image.get_sform(), image.get_qform()
    sizes = [nibabel.affines.voxel_sizes(form) for form in (sform, qform)]
    if not np.allclose(sizes[0], sizes[1], rtol=SAME_SIZE, atol=0):
        first, second = (" x ".join(f"{side:.3g}" for side in size) for size in sizes)
        return (
            f"the header contains two voxel sizes, {first} mm (sform) and {second} mm (qform), and one of them is wrong: the "
            "qform is used",
            "",
        )
    last = np.array(image.shape[:3]) - 1
    corners = np.array([[*place, 1] for place in np.ndindex(2, 2, 2)]) * [*last, 1]
    apart = np.linalg.norm((corners @ (sform - qform).T)[:, :3], axis=1).max()
    if not image.header["qform_code"] or apart <= SAME_PLACE:
        return "", ""
    return "", f"the header's sform and qform place the image up to {apart:.1f} mm apart: the sform is used"


def write_nifti(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    """Write a volume. Whole numbers are stored in 8 or 16 bits if they fit, all other values as 32-bit floats.

    Args:
        path: path of the file; it must end in ``.nii.gz``.
        array: ``(i, j, k)``.
        affine: voxel indices to patient space, RAS+, mm.
    """
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    kind: type = np.float32
    if np.array_equal(array, np.round(array)):
        kind = np.uint8 if low >= 0 and high < 2**8 else np.int16 if low >= -(2**15) and high < 2**15 else np.float32
    image = nibabel.Nifti1Image(array.astype(kind), np.asarray(affine, dtype=float))
    image.header.set_xyzt_units("mm")
    image.set_sform(image.affine, code=1)
    image.set_qform(image.affine, code=1)
    with atomic_write(path, ending=".nii.gz") as part:
        nibabel.save(image, part)
