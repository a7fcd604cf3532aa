"""Look for mistakes in the masks that an index uses: empty masks, values that no structure has, swapped ventricles; and
recognise a mask that is given as an image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from planewise.errors import InputError
from planewise.exams.cardiac_views import HEART_STRUCTURES
from planewise.exams.words import some_of
from planewise.unreadable import UNREADABLE, claims_too_much

#: Largest value of a mask: caches and results store masks as 8-bit numbers, which would wrap around.
LARGEST_LABEL = 255
#: A volume of at most so many different values, which a mask may have, counts as a mask, whatever its name.
_MOST_LABELS = 10
_OF_HEART = {name: value for value, name in HEART_STRUCTURES["sax"].items()}


def mask_doubts(path: str | Path, view: str, renamed: Mapping[str, int] | None = None) -> list[str]:
    """Likely mistakes in a mask, as phrases that follow the mask's name; empty if there is none, or if it cannot be read.

    Args:
        path: the mask, NIfTI.
        view: view of its images; ``"sax"`` and ``"4ch"`` have known structures.
        renamed: the item's ``label_map``.
    """
    try:
        voxels = np.asarray(nibabel.load(path).dataobj)
    except UNREADABLE:
        return []
    if not np.isfinite(voxels).all():
        return ["contains values that are not finite"]
    if (voxels != np.rint(voxels)).any():
        return ["contains values that are not whole numbers: is it a probability map?"]
    mask = voxels.astype(np.int64).reshape(*voxels.shape[:2], -1)
    values, places = np.unique(mask, return_inverse=True)
    if renamed and (unnamed := sorted(set(values.tolist()) - {0, *map(int, renamed)})):
        return [f"has the values {some_of(list(map(str, unnamed)))}, which --label-map does not name"]
    new = np.array([int((renamed or {}).get(str(value), value)) for value in values.tolist()])
    mask, found = new[places].reshape(mask.shape), sorted(set(new.tolist()) - {0})
    if not found:
        return ["is empty: every voxel is 0"]
    largest = max(HEART_STRUCTURES.get(view, {}), default=None)
    if found[0] < 0 or (largest is not None and found[-1] > largest) or found == [255]:
        known = f"1 to {largest}" if largest else "1, 2, ..."
        return [
            f"has the values {some_of([str(value) for value in found])}, but the structures are {known} (--label-map)"
        ]
    if view == "sax" and _are_swapped(mask):
        return ["has more myocardium around RV (1) than around LV (3): are the two swapped? (--label-map)"]
    return []


def label_values(path: str | Path) -> list[int]:
    """The values of a NIfTI file that is a mask: a few small whole numbers, 0 among them. Empty for an image, for a file of
    one value, and if the file cannot be read."""
    values = np.empty(0)
    try:
        volume: Any = nibabel.load(path, keep_file_open=True)  # so that a compressed file is decompressed once
        if claims_too_much(volume) or volume.get_data_dtype().kind not in "iuf":
            return []  # colours and complex numbers are no labels
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
    if values := label_values(path):
        raise InputError(
            f"{path} has only the values {some_of([str(value) for value in values])}, so it is a mask and not an image; name "
            "the image"
        )


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
