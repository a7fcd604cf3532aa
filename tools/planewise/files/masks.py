"""Read masks and look for mistakes in them; mark those that a network predicted, and keep those that people corrected."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from planewise.errors import InputError
from planewise.files.nifti import UNREADABLE, open_nifti
from planewise.findings import Finding, finding

#: Numbers of a heart's structures in masks, as the segmentation bundles number them, by view of the images.
HEART_STRUCTURES = {
    "sax": {1: "RV", 2: "myocardium", 3: "LV"},
    "4ch": {1: "RV", 2: "myocardium", 3: "LV", 4: "LA", 5: "RA"},
}
#: Largest value of a mask: caches and results store masks as 8-bit numbers, which would wrap around.
LARGEST_LABEL = 255
#: Values of a mask are rounded if they are this close to a whole number: programs that resample a mask, or save it as
#: floats, leave 0.99999.
_ROUNDED = 1e-3
#: Limit of the number of values: a volume with few values, all of them possible labels, counts as a mask, whatever its name.
_MOST_LABELS = 10
#: Beginning of the header's ``descrip`` in a predicted mask; the voxels' checksum follows.
_PREDICTED = "planewise predicted "
#: Ends of the names of a mask, and of the image that `planewise segment` and `planewise plan` write next to it.
MASK, IMAGE = "_mask", "_image"
#: End of the name of a mask that a person corrected: the newest ``a_mask_corrected.nii.gz`` or ``a_corrected.seg.nrrd`` next
#: to the network's ``a_mask.nii.gz`` counts in its place. A file that a person changed under the network's name gets this
#: name, too, before a new result would overwrite it.
CORRECTED = "_corrected"


def labels_of(voxels: np.ndarray, renamed: Mapping[str, int] | None = None) -> np.ndarray:
    """The labels of a mask, uint8, of the same shape; all values of masks are read with this function.

    Args:
        voxels: values of the mask; those that are nearly whole numbers are rounded.
        renamed: an item's ``label_map``, ``{value in the file: new value}``; the background, 0, need not be named.

    Raises:
        InputError: a value cannot be a label, or the label map does not name it, so nobody knows what it should become. The
            message is a clause about the mask, to follow its name.
    """
    if voxels.dtype.kind not in "biuf":
        raise InputError(finding("mask-values", kind="colours"))
    labels = np.rint(voxels) if voxels.dtype.kind == "f" else voxels.astype(np.int64)
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        _refuse(voxels, ~(np.abs(voxels - labels) <= _ROUNDED))
    if renamed:
        given, unnamed = labels, labels[~np.isin(labels, [0, *map(int, renamed)])]
        if unnamed.size:
            raise InputError(finding("mask-values", kind="unnamed", value=int(unnamed.max())))
        labels = np.zeros_like(given)
        for value, wanted in renamed.items():
            labels[given == int(value)] = wanted
    _refuse(voxels, (labels < 0) | (labels > LARGEST_LABEL))
    return labels.astype(np.uint8)


def _refuse(voxels: np.ndarray, wrong: np.ndarray) -> None:
    if wrong.any():
        raise InputError(finding("mask-values", kind="number", value=voxels[wrong].min(), most=LARGEST_LABEL))


def read_mask(path: str | Path, renamed: Mapping[str, int] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The labels of a NIfTI mask, see `labels_of`, ``(i, j, slices)``, without a time axis of one frame, and its affine."""
    try:
        image = open_nifti(path)
        voxels = np.asarray(image.dataobj)
    except UNREADABLE as error:
        raise error if isinstance(error, InputError) else InputError(finding("nifti-damaged")) from error
    voxels = voxels.reshape(*voxels.shape, *[1] * (3 - voxels.ndim))
    return labels_of(voxels[..., 0] if voxels.shape[3:] == (1,) else voxels, renamed), image.affine


def why_unusable(path: str | Path, renamed: Mapping[str, int] | None = None) -> Finding | None:
    """Why a mask cannot be used, see `read_mask`; None if it can."""
    try:
        read_mask(path, renamed)
    except InputError as error:
        return error.reason
    return None


def mask_doubts(mask: np.ndarray, view: str) -> list[Finding]:
    """Likely mistakes in a mask from `read_mask`; empty if there is none. The views sax and 4ch have known structures."""
    if not mask.any():
        return [finding("mask-doubtful", kind="empty")]
    if unknown_values(mask, view):
        known = f"1 to {max(HEART_STRUCTURES[view])}" if view in HEART_STRUCTURES else "1, 2, ..."
        return [finding("mask-doubtful", kind="values", values=structures_of(mask), known=known)]
    swapped = view == "sax" and _are_swapped(mask.reshape(*mask.shape[:2], -1))
    return [finding("mask-doubtful", kind="swapped")] if swapped else []


def structures_of(mask: np.ndarray) -> list[int]:
    """The values of a mask, without the background."""
    return np.unique(mask[mask > 0]).tolist()


def unknown_values(mask: np.ndarray, view: str) -> list[int]:
    """The values of a mask that no structure of its view has; of an unknown view, only 255 if it is the only value."""
    found, known = structures_of(mask), HEART_STRUCTURES.get(view)
    return [value for value in found if value not in known] if known else [255] * (found == [255])


def label_values(path: str | Path) -> list[int]:
    """The values of a NIfTI file that is a mask: a few small whole numbers, 0 among them. Empty for any other file."""
    values = np.empty(0)
    try:
        volume = open_nifti(path, keep_file_open=True)  # so that a compressed file is decompressed once
        # slice by slice, because the first slice is enough for nearly all images
        for place in np.ndindex(volume.shape[:1:-1]):
            values = np.union1d(values, np.unique(volume.dataobj[(..., *place[::-1])]))
            allowed = (values == np.rint(values)) & (values >= 0) & (values <= LARGEST_LABEL)
            if len(values) > _MOST_LABELS or not allowed.all():
                return []
    except UNREADABLE:
        return []
    return [int(value) for value in values] if len(values) > 1 and values[0] == 0 else []


def refuse_mask(path: str | Path) -> None:
    """Raise `InputError` if a file that a user gave as an image is a mask (`label_values`)."""
    if label_values(path):
        raise InputError(f"{path}: {finding('mask-as-image', kind='values')}")


def _are_swapped(mask: np.ndarray) -> bool:
    """Whether the myocardium encloses the structure named RV more than that named LV: it surrounds the left ventricle, and
    touches the right one on one side. The mask is (i, j, slices)."""
    from scipy.ndimage import binary_dilation, generate_binary_structure  # an index without masks starts faster

    of_heart = {name: mask == value for value, name in HEART_STRUCTURES["sax"].items()}
    cross, shares = generate_binary_structure(2, 1)[..., None], []
    for name in ("RV", "LV"):
        around = binary_dilation(of_heart[name], cross) & ~of_heart[name]
        if not around.any():
            return False
        shares.append(of_heart["myocardium"][around].mean())
    return bool(shares[0] > shares[1])


def mark_predicted(image: nibabel.Nifti1Image) -> None:
    """Record in a mask's header that a network predicted these voxels (see `is_predicted`)."""
    image.header["descrip"] = _PREDICTED + _checksum(image)


def is_predicted(path: str | Path) -> bool:
    """Whether a network predicted the mask in a file, and nobody has changed a voxel since. The mark has a checksum of the
    voxels, because some viewers keep the header of a mask that a person corrects."""
    try:
        image = open_nifti(path)
        return has_mark(image) and _mark(image) == _PREDICTED + _checksum(image)
    except UNREADABLE:
        return False


def is_corrected(path: str | Path) -> bool:
    """Whether a file exists and is not a network's unchanged mask: a person made or changed it, or it cannot be read."""
    return Path(path).is_file() and not is_predicted(path)


def has_mark(image: Any) -> bool:
    """Whether a loaded file is a label map that a network predicted, even if a person has changed its voxels since."""
    return _mark(image).startswith(_PREDICTED)


def corrected_name(path: Path, ending: str) -> Path:
    """A free name for a corrected mask: for ``a_mask.nii.gz`` with the ending ``.nii.gz``, ``a_mask_corrected.nii.gz``, or if
    that exists, ``a_mask_corrected_2.nii.gz``."""
    plain = path.name.removesuffix(ending)
    names = (f"{plain}{CORRECTED}{'' if number == 1 else f'_{number}'}{ending}" for number in count(1))
    return next(path.with_name(name) for name in names if not path.with_name(name).exists())


def corrections(mask: Path) -> list[Path]:
    """The corrected masks next to a network's mask ``a_mask.nii.gz``, in the order of `oldest_first`: ``a_corrected`` or
    ``a_mask_corrected``, in any format that is read."""
    endings = (".nii", ".nii.gz", ".seg.nrrd")
    found = [file for file in mask.parent.glob(f"*{CORRECTED}*") if file.name.startswith(corrected_stems(mask))]
    return oldest_first(file for file in found if file.name.endswith(endings))


def oldest_first(files: Iterable[Path]) -> list[Path]:
    """Corrected masks in the order of their times: the newest, the last one, counts. Of files of one time, a person's is
    after its copy as NIfTI."""
    return sorted(files, key=lambda file: (file.lstat().st_mtime_ns, file.suffix == ".nrrd", file.name))


def corrected_stems(mask: Path) -> tuple[str, str]:
    """How the names of the corrected masks of a network's mask begin."""
    plain = mask.name.removesuffix(".gz").removesuffix(".nii")
    return f"{plain}{CORRECTED}", f"{plain.removesuffix(MASK)}{CORRECTED}"


def set_aside(path: Path, ending: str) -> Finding:
    """Rename a file that a person changed, see `corrected_name`."""
    return finding("file-kept", file=path.name, kept=path.rename(corrected_name(path, ending)).name)


def _mark(image: Any) -> str:
    try:
        return image.header["descrip"].item().decode("latin-1")
    except KeyError:  # a format without this text
        return ""


def _checksum(image: nibabel.Nifti1Image) -> str:
    """A checksum of whole numbers, which does not depend on their type or on the order of the axes in the file."""
    voxels = np.rint(np.asarray(nibabel.as_closest_canonical(image).dataobj)).astype(np.int32)
    return f"{zlib.crc32(voxels.tobytes()):08x}"
