"""Read the labels of a mask, or say why it cannot be used; look for mistakes in other masks: no structure, values that no
structure has, swapped ventricles; and recognise a mask that is given as an image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

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
_OF_HEART = {name: value for value, name in HEART_STRUCTURES["sax"].items()}


def labels_of(voxels: np.ndarray, renamed: Mapping[str, int] | None = None) -> np.ndarray:
    """The labels of a mask, uint8, of the same shape. Indexing, training, evaluation and `planewise segment` all read the
    values of masks with this function.

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
        named, given = np.isin(labels, [0, *map(int, renamed)]), labels
        if not named.all():
            value = int(labels[~named].max())
            raise InputError(finding("mask-values", kind="unnamed", value=value))
        labels = np.zeros_like(given)
        for value, wanted in renamed.items():
            labels[given == int(value)] = wanted
    _refuse(voxels, (labels < 0) | (labels > LARGEST_LABEL))
    return labels.astype(np.uint8)


def _refuse(voxels: np.ndarray, wrong: np.ndarray) -> None:
    if wrong.any():
        raise InputError(finding("mask-values", kind="number", value=voxels[wrong].min(), most=LARGEST_LABEL))


def read_mask(path: str | Path, renamed: Mapping[str, int] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The labels of a NIfTI mask, see `labels_of`, ``(i, j, slices)``, and its affine; a time axis of one frame is dropped.

    Raises:
        InputError: the mask cannot be used. The message is a clause about the mask, to follow its name.
    """
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
    """Likely mistakes in a mask; empty if there is none.

    Args:
        mask: labels, from `read_mask`.
        view: view of its images; ``"sax"`` and ``"4ch"`` have known structures.
    """
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
    """The values of a mask that no structure of its view has. If the view's structures are unknown, only 255 counts, and
    only if it is the mask's only value."""
    found, known = structures_of(mask), HEART_STRUCTURES.get(view)
    return [value for value in found if value not in known] if known else [255] * (found == [255])


def label_values(path: str | Path) -> list[int]:
    """The values of a NIfTI file that is a mask: a few small whole numbers, 0 among them. Empty for an image, for a file of
    one value, and if the file cannot be read."""
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
    """Refuse a file that a user gave as an image.

    Raises:
        InputError: it is a mask (`label_values`).
    """
    if label_values(path):
        raise InputError(f"{path}: {finding('mask-as-image', kind='values')}")


def _are_swapped(mask: np.ndarray) -> bool:
    """Whether the myocardium encloses the structure named RV more than that named LV: it surrounds the left ventricle, and
    touches the right one on one side. The mask is (i, j, slices)."""
    from scipy.ndimage import binary_dilation, generate_binary_structure  # an index without masks starts faster

    cross = generate_binary_structure(2, 1)[..., None]
    shares = []
    for name in ("RV", "LV"):
        structure = mask == _OF_HEART[name]
        around = binary_dilation(structure, cross) & ~structure
        if not around.any():
            return False
        shares.append((mask[around] == _OF_HEART["myocardium"]).mean())
    return bool(shares[0] > shares[1])
